"""The value head's loss, and how much of the returns it explains."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.objectives.masked import at_least_float32, masked, masked_mean, masked_var


class ClippedValueLoss(NamedTuple):
    """`loss` carries the gradient; `clip_fraction` is the share of tokens on which clipping takes it away."""

    loss: Tensor
    clip_fraction: Tensor


def clipped_value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    response_mask: Tensor,
    clip: float,
    num_tokens: Tensor | float | None = None,
) -> ClippedValueLoss:
    """Half the squared error, with the new value held near the old one (Engstrom et al. 2020).

    loss = mean over tokens of 1/2 max((v - R)^2, (clip(v, old - clip, old + clip) - R)^2)

    All tensors `(B, T)` or `(N,)`; `clip` is in the unit of the values. Gradient flows through `values`
    only. `num_tokens` is the denominator, the number of tokens in the mask unless given.
    """
    values = masked(values, response_mask)
    old_values = masked(old_values, response_mask).detach()
    returns = masked(returns, response_mask).detach()
    held = torch.clamp(values, old_values - clip, old_values + clip)
    error, held_error = (values - returns).square(), (held - returns).square()
    is_clipped = (held_error > error).to(error.dtype)
    return ClippedValueLoss(
        loss=0.5 * masked_mean(torch.maximum(error, held_error), response_mask, num_tokens=num_tokens),
        clip_fraction=masked_mean(is_clipped, response_mask, num_tokens=num_tokens),
    )


def explained_variance(values: Tensor, returns: Tensor, response_mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the tokens in the mask, a detached scalar.

    1 is a perfect value head, 0 one that is no better than a constant. It is `nan` where the returns do
    not vary. Take it over a whole batch: it does not add up over micro-batches.
    """
    spread = masked_var(returns, response_mask)
    left = masked_var(at_least_float32(returns) - at_least_float32(values), response_mask)
    return torch.where(spread > 0, 1.0 - left / spread, torch.nan).detach()
