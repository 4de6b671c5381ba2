"""Generalised advantage estimation (Schulman et al. 2016, eq. 16)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.objectives.masked import masked


class Gae(NamedTuple):
    """Both `(B, T)`, zero outside the mask, without gradient."""

    advantages: Tensor
    returns: Tensor


def gae(rewards: Tensor, values: Tensor, response_mask: Tensor, gamma: float, lam: float) -> Gae:
    """Advantages and the value head's targets, from rewards and values a token.

    delta[t] = rewards[t] + gamma values[t + 1] - values[t]
    advantages[t] = delta[t] + gamma lam advantages[t + 1]
    returns[t] = advantages[t] + values[t]

    All `(B, T)`; `values[b, t]` is the estimate *before* token t is chosen. Responses are right-padded:
    the mask of a row is True, then False. After a response's last token the value is 0, for responses
    that were cut at the length limit too: their score has been given by then and nothing follows.
    """
    rewards = masked(rewards, response_mask).detach()
    values = masked(values, response_mask).detach()
    # Right-padding and the zeros outside the mask make the value after the last token 0 by themselves.
    next_values = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = rewards + gamma * next_values - values
    running = torch.zeros_like(values[:, 0])
    backwards: list[Tensor] = []
    for t in reversed(range(values.shape[1])):
        running = deltas[:, t] + gamma * lam * running
        backwards.append(running)
    advantages = torch.stack(backwards[::-1], dim=1)
    return Gae(advantages=advantages, returns=masked(advantages + values, response_mask))
