"""Sums, means, variances and whitening over the tokens that count.

A value outside the mask has no say: it may be anything, `nan` and infinities included, and its gradient
is zero. Half-precision input is worked on in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """`values` in float32 if they come in half precision, else untouched."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def masked(values: Tensor, response_mask: Tensor) -> Tensor:
    """`values` where `response_mask` is True and 0 elsewhere, same shape, at least float32."""
    return torch.where(response_mask, at_least_float32(values), 0.0)


def masked_sum(values: Tensor, response_mask: Tensor, dim: int | None = None) -> Tensor:
    """Sum of the values in the mask, over `dim` or over everything."""
    return masked(values, response_mask).sum(dim)


def masked_mean(
    values: Tensor, response_mask: Tensor, dim: int | None = None, num_tokens: Tensor | float | None = None
) -> Tensor:
    """Mean of the values in the mask, over `dim` or over everything.

    `num_tokens` is the denominator: the number of tokens in the mask unless given. Where nothing is in
    the mask the mean is 0.
    """
    if num_tokens is None:
        num_tokens = response_mask.sum(dim).clamp(min=1)
    return masked_sum(values, response_mask, dim) / num_tokens


def masked_var(values: Tensor, response_mask: Tensor) -> Tensor:
    """Variance of the values in the mask about their mean, a scalar; divided by n, not n - 1."""
    # masked before it is squared: the slope of a square at nan is nan, and nan times a zero gradient too
    centred = masked(values, response_mask) - masked_mean(values, response_mask)
    return masked_mean(centred.square(), response_mask)


def masked_whiten(
    values: Tensor, response_mask: Tensor, shift_mean: bool = True, eps: float = 1e-8
) -> Tensor:
    """Values scaled to variance 1 and, with `shift_mean`, moved to mean 0; zero outside the mask.

    Without `shift_mean` the mean stays where it was. The statistics are those of everything given, so
    whiten a whole batch of rollouts before it is split.
    """
    mean = masked_mean(values, response_mask)
    scale = torch.rsqrt(masked_var(values, response_mask) + eps)
    centred = (masked(values, response_mask) - mean) * scale
    return masked(centred if shift_mean else centred + mean, response_mask)
