"""Picking a token from logits at a given uniform draw, with its log-probability from the same pass.

`choose` inverts the cumulative distribution in two levels, first over blocks of the vocabulary and then
inside one block, so the cumulative sum over the whole vocabulary is never made. `choose_plain` is its twin.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256
"""Tokens of a block, about the square root of a usual vocabulary."""
NUCLEUS = 512
"""Tokens looked at first for the top-p cut."""


def choose(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """`logits` (B, V) in fp32, `uniform` (B,) in [0, 1) -> tokens (B,), their log-probabilities (B,).

    The log-probability is the one at the temperature, before the top-p cut; at temperature 0 the
    likeliest token is taken, with its log-probability at temperature 1.
    """
    if temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return best[:, 0], _at(logits, best) - logits.logsumexp(-1)
    logits = logits if temperature == 1.0 else logits / temperature
    largest = logits.amax(-1, keepdim=True)
    batch, vocabulary = logits.shape
    blocks = -(-vocabulary // BLOCK)
    shares = logits.new_zeros(batch, blocks * BLOCK)
    torch.exp(logits - largest, out=shares[:, :vocabulary])
    total = shares.sum(-1)
    if top_p < 1.0:
        shares = nucleus(shares, top_p)
    grid = shares.view(batch, blocks, BLOCK)
    block, rest = _invert(grid.sum(-1), uniform)
    inside, _ = _invert(grid[torch.arange(batch, device=grid.device), block], rest)
    tokens = block * BLOCK + inside
    return tokens, _at(logits, tokens[:, None]) - largest[:, 0] - total.log()


def choose_plain(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """The same as `choose`, over the whole vocabulary at once."""
    logprobs = (logits / (temperature or 1.0)).log_softmax(-1)
    if temperature == 0:
        tokens = logprobs.argmax(-1)
    else:
        shares = logprobs.exp() if top_p == 1.0 else nucleus(logprobs.exp(), top_p)
        tokens, _ = _invert(shares, uniform)
    return tokens, _at(logprobs, tokens[:, None])


def nucleus(shares: Tensor, top_p: float) -> Tensor:
    """`shares` (B, V) with zero outside the fewest that hold `top_p` of them (Holtzman et al. 2020)."""
    wanted = top_p * shares.sum(-1, keepdim=True)
    # A few hundred tokens nearly always hold it; only if they do not is the whole vocabulary sorted.
    for width in (min(NUCLEUS, shares.shape[1]), shares.shape[1]):
        ordered, places = shares.topk(width)
        if bool((ordered.sum(-1, keepdim=True) >= wanted).all()):
            break
    before = ordered.cumsum(-1) - ordered
    return torch.zeros_like(shares).scatter(1, places, ordered.masked_fill(before >= wanted, 0.0))


def _invert(shares: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulative sum of `shares` (B, N) passes `uniform`'s share of the total, and how far into
    that entry, again in [0, 1). Never an entry whose share is zero."""
    cumulative = shares.cumsum(-1)
    total = cumulative[:, -1:]
    below_total = torch.nextafter(total, torch.zeros_like(total))
    target = torch.minimum(uniform[:, None] * total, below_total)
    place = torch.searchsorted(cumulative, target, right=True)
    share = shares.gather(1, place)
    into = (target - (cumulative.gather(1, place) - share)) / share
    return place[:, 0], into[:, 0].clamp(0.0, 1.0)


def _at(values: Tensor, places: Tensor) -> Tensor:
    return values.gather(1, places)[:, 0]
