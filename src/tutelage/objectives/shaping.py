"""From one score a response to one reward a token (Ziegler et al. 2019, eq. 2; Ouyang et al. 2022, C.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.objectives.masked import at_least_float32, masked


def last_token_mask(response_mask: Tensor) -> Tensor:
    """True at the last token of each response, `(B, T)` bool; a response without tokens has none."""
    num_from_here_on = response_mask.long().flip(1).cumsum(1).flip(1)
    return response_mask & (num_from_here_on == 1)


def shape_rewards(
    scores: Tensor,
    kl: Tensor,
    response_mask: Tensor,
    finished: Tensor,
    kl_coefficient: float,
    no_end_penalty: float,
) -> Tensor:
    """Rewards a token, `(B, T)`, zero outside the mask and without gradient.

    r[b, t] = -kl_coefficient kl[b, t], and at the last token of response b also
    scores[b] - no_end_penalty [response b is not finished].

    `scores` `(B,)` are the reward model's, `kl` `(B, T)` one of the estimates of `objectives.kl` in nats,
    `finished` `(B,)` bool tells which responses ended by themselves rather than at the length limit. A
    response without a single token has nowhere to put its score and gets no reward.
    """
    scores = at_least_float32(scores)
    earned = torch.where(finished, scores, scores - no_end_penalty)
    at_end = torch.where(last_token_mask(response_mask), earned[:, None], 0.0)
    return (at_end - kl_coefficient * masked(kl, response_mask)).detach()
