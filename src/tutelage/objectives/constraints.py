"""Maximise a reward while a cost stays within a limit: the Lagrangian of Safe RLHF (Dai et al. 2023).

A cost is a score that is high where a response is bad, and the constraint is that its mean over the policy's
responses is at most `limit`. The saddle point min over lambda >= 0 of max over the policy of
E[r] - lambda (E[c] - limit) is sought by turns: the policy learns from `constrained_reward`, and lambda
follows what the policy costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from tutelage.core.errors import TrainingError
from tutelage.objectives.masked import at_least_float32


def constrained_reward(reward: Tensor, cost: Tensor, multiplier: float) -> Tensor:
    """(r - lambda c) / (1 + lambda), of rewards or of advantages alike, any shape (Dai et al. 2023).

    The division keeps its size while lambda grows, so that the step size need not follow.
    """
    return (at_least_float32(reward) - multiplier * at_least_float32(cost)) / (1.0 + multiplier)


@dataclass
class LagrangeMultiplier:
    """lambda of one constraint, kept positive by moving its logarithm (Dai et al. 2023, eq. 31).

    log lambda <- log lambda + rate lambda (mean cost - limit), and lambda is at most `ceiling`. It grows while
    the policy costs more than `limit` and shrinks while it costs less. `update` changes the object, and a
    checkpoint keeps its `state`, as with `AdaptiveKl`.
    """

    multiplier: float
    limit: float
    rate: float
    ceiling: float = 10.0

    def update(self, observed_cost: float) -> None:
        """Move lambda after responses whose mean cost was `observed_cost`.

        Raises `TrainingError` if `observed_cost` is not a finite number.
        """
        if not math.isfinite(observed_cost):
            raise TrainingError(
                f"the mean cost of the responses is {observed_cost}: look at the scores of the constraint"
            )
        step = self.rate * self.multiplier * (observed_cost - self.limit)
        self.multiplier = min(
            math.exp(min(math.log(self.multiplier) + step, math.log(self.ceiling))), self.ceiling
        )

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {
            "multiplier": self.multiplier,
            "limit": self.limit,
            "rate": self.rate,
            "ceiling": self.ceiling,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, float]) -> Self:
        """The multiplier that `state()` described."""
        return cls(**state)
