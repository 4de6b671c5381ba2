"""A score that keeps some perspectives up while it rewards the others: Safe RLHF in any online method.

The reward of a response is (r - sum of lambda_i c_i) / (1 + sum of lambda_i): r from the perspectives that are
free, and the cost c_i the constrained perspective's score with its sign turned (Dai et al. 2023, "Safe RLHF").
After each iteration every lambda follows the mean cost of what the policy said (`objectives.constraints`).
Left out on purpose: constraints on anything but a perspective of the reward model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from tutelage.core.method_settings import ConstraintSettings
from tutelage.models.scoring import Pair
from tutelage.objectives.constraints import LagrangeMultiplier, constrained_reward

ScoreParts = Callable[[Sequence[Pair]], tuple[Tensor, Tensor]]
"""Reward `(B,)` and the scores `(C, B)` of the constrained perspectives."""


class ConstrainedScore:
    """A `Score` (`sampling.best_of_n`) whose weights move. `parts` gives reward and constrained scores apart."""

    def __init__(self, parts: ScoreParts, constraints: Mapping[str, ConstraintSettings]) -> None:
        self._parts = parts
        self.multipliers = {
            name: LagrangeMultiplier(one.start, -one.at_least, one.rate, one.ceiling)
            for name, one in constraints.items()
        }

    def __call__(self, pairs: Sequence[Pair]) -> Tensor:
        """The combined reward `(B,)`."""
        return self.judge(pairs)[0]

    def judge(self, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        """The combined reward `(B,)`, and the constrained perspectives' scores `(C, B)`."""
        reward, kept = self._parts(pairs)
        total = sum(one.multiplier for one in self.multipliers.values())
        weights = kept.new_tensor([one.multiplier / total for one in self.multipliers.values()])
        # one cost whose multiplier is the sum: lambda_i c_i summed, over 1 + the sum of lambda_i
        return constrained_reward(reward, -(weights @ kept), total), kept

    def update(self, kept: Tensor) -> dict[str, float]:
        """Move the multipliers after responses with these scores `(C, B)`; what to record of it."""
        said: dict[str, float] = {}
        for (name, one), scores in zip(self.multipliers.items(), kept, strict=True):
            said[f"kept_{name}"], said[f"multiplier_{name}"] = float(scores.mean()), one.multiplier
            one.update(-float(scores.mean()))
        return said

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep."""
        return {name: one.state() for name, one in self.multipliers.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.multipliers = {name: LagrangeMultiplier.from_state(kept) for name, kept in state.items()}
