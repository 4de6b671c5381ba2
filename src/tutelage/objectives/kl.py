"""Estimates of KL(policy || reference) from sampled tokens, and controllers of its coefficient.

Estimators: Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html). Each takes the
log-probabilities, in nats, that policy and reference give to tokens *sampled from the policy*, in any
shape, and gives an estimate a token in nats. With d = log policy - log reference:

| name | formula       | bias                                          | variance             |
|------|---------------|-----------------------------------------------|----------------------|
| k1   | d             | none                                          | high, can be negative|
| k2   | d^2 / 2       | some, small while the two are close           | low, never negative  |
| k3   | e^-d - 1 + d  | none                                          | low, never negative  |

They are made for measuring and for rewards. As a loss they mislead: the gradient of k1 has mean zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tutelage.core.errors import TrainingError
from tutelage.objectives.masked import at_least_float32

LOG_RATIO_LIMIT = 20.0
"""Log-ratios are held within +-20 nats before they are exponentiated (e^20 is 5e8), so that a token on
which two models disagree wildly gives a huge number and not an infinite one."""

ZIEGLER_ERROR_LIMIT = 0.2
TARGET_LEAD = 5.0
"""The proportional part of `TargetKl` in units of its gain: as much as five iterations of the integral."""
TARGET_BOUNDS = (1e-4, 1e4)
"""Between which the integral of `TargetKl` stays, should its target be out of reach."""


def limited_exp(log_ratio: Tensor) -> Tensor:
    """e to the `log_ratio`, which is held within +-`LOG_RATIO_LIMIT`; beyond it the gradient is zero."""
    return torch.exp(log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))


def kl_k1(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Schulman's k1: log policy - log reference."""
    return at_least_float32(policy_logprobs) - at_least_float32(reference_logprobs)


def kl_k2(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Schulman's k2: half the squared log-ratio."""
    return 0.5 * kl_k1(policy_logprobs, reference_logprobs).square()


def kl_k3(policy_logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Schulman's k3: (r - 1) - log r with r = reference / policy; r is held at e^20."""
    log_ratio = -kl_k1(policy_logprobs, reference_logprobs)
    # expm1, because near 1 the difference r - 1 would lose all its digits in float32
    return torch.expm1(log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)) - log_ratio


@dataclass
class FixedKl:
    """A KL coefficient that stays as it is."""

    coefficient: float

    def update(self, observed_kl: float, num_responses: int) -> None:
        """Nothing changes; here so that all controllers are used alike."""

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {"coefficient": self.coefficient}

    @classmethod
    def from_state(cls, state: Mapping[str, float]) -> Self:
        """The controller that `state()` described."""
        return cls(coefficient=state["coefficient"])


@dataclass
class AdaptiveKl:
    """A KL coefficient steered in proportion to the relative error (Ziegler et al. 2019, section 2.2).

    e = clip((KL - target) / target, -0.2, 0.2), then coefficient <- coefficient (1 + K e) with
    K = num_responses / horizon, the form of their code. K is at most 1, so that one update never moves
    the coefficient by more than a fifth, however large the batch.

    `target` is in nats a response, `horizon` in responses. `update` changes the object: it is the one
    piece of state in this room, and a checkpoint keeps it.
    """

    coefficient: float
    target: float
    horizon: float

    def update(self, observed_kl: float, num_responses: int) -> None:
        """Move the coefficient after `num_responses` responses whose mean KL was `observed_kl` nats.

        Raises `TrainingError` if `observed_kl` is not a finite number.
        """
        error = _relative_error(observed_kl, self.target, ZIEGLER_ERROR_LIMIT)
        self.coefficient *= 1.0 + error * min(num_responses / self.horizon, 1.0)

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {"coefficient": self.coefficient, "target": self.target, "horizon": self.horizon}

    @classmethod
    def from_state(cls, state: Mapping[str, float]) -> Self:
        """The controller that `state()` described."""
        return cls(coefficient=state["coefficient"], target=state["target"], horizon=state["horizon"])


@dataclass
class TargetKl:
    """A KL coefficient that holds the KL at `target`: dual ascent in log beta, with a proportional part.

    The most reward under KL <= target has the Lagrangian E[r] - beta (KL - target), and gradient ascent on its
    dual moves beta by KL - target. Here log beta moves, which keeps beta positive, by the relative error:

    e = clip((KL - target) / target, -1, 1), I <- I + gain e, log beta = I + 5 gain e

    I alone answers too late: the policy needs iterations to follow beta, and the KL swings about its target.
    The proportional part damps that (Stooke, Achiam and Abbeel 2020, "Responsive safety in reinforcement
    learning by PID Lagrangian methods"). I rests while the error shrinks, so that beta does not fall without
    end while the KL is still on its way up from 0 (conditional integration, Astrom and Hagglund 2006).

    Ziegler's controller has the integral alone, its error clipped at a fifth and its horizon in responses; made
    for 10^5 responses and more, it hardly moves in a short run. This one's gain is an iteration's.

    Where it settles, the policy is pi_ref exp(r / beta) / Z with the beta that makes its KL the target.
    `target` is in nats a response; `error` is the last one. `update` changes the object, as in `AdaptiveKl`.
    """

    coefficient: float
    target: float
    gain: float
    error: float = 0.0

    def update(self, observed_kl: float, num_responses: int) -> None:
        """Move the coefficient after an iteration whose mean KL was `observed_kl` nats, however many responses.

        Raises `TrainingError` if `observed_kl` is not a finite number.
        """
        error, lead = _relative_error(observed_kl, self.target, 1.0), TARGET_LEAD * self.gain
        integral = math.log(self.coefficient) - lead * self.error
        if error * (error - self.error) >= 0.0:
            integral += self.gain * error
        low, high = (math.log(bound) for bound in TARGET_BOUNDS)
        self.coefficient = math.exp(min(max(integral, low), high) + lead * error)
        self.error = error

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {
            "coefficient": self.coefficient,
            "target": self.target,
            "gain": self.gain,
            "error": self.error,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, float]) -> Self:
        """The controller that `state()` described."""
        return cls(state["coefficient"], state["target"], state["gain"], state["error"])


def _relative_error(observed_kl: float, target: float, limit: float) -> float:
    """(KL - target) / target, held within +-limit. Raises `TrainingError` if the KL is not a finite number."""
    if not math.isfinite(observed_kl):
        raise TrainingError(
            f"the KL to the reference is {observed_kl}: lower the learning rate (optim.learning_rate) and resume"
        )
    return max(-limit, min(limit, (observed_kl - target) / target))
