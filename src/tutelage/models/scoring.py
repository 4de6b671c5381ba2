"""Log-probabilities of responses under whichever adapter is active, without padding and without gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.models.packed import Packed, by_tokens, pack
from tutelage.models.trunk import Trunk

Pair = tuple[Sequence[int], Sequence[int]]
"""Prompt tokens and response tokens."""


def joined(pairs: Sequence[Pair], device: torch.device) -> Packed:
    """Each prompt followed by its response, packed; what they begin with alike is laid down once."""
    return pack([[*prompt, *response] for prompt, response in pairs], device)


def predictors(pairs: Sequence[Pair], packed: Packed) -> tuple[Tensor, Tensor]:
    """For `packed = joined(pairs)`: the rows whose hidden state predicts a response token, and those tokens.

    Both `(M,)`, M being the response tokens of all pairs together, in order.
    """
    rows: list[int] = []
    targets: list[int] = []
    for index, (prompt, response) in enumerate(pairs):
        rows.extend(packed.tokens_of(index)[len(prompt) - 1 : -1])
        targets.extend(response)
    device = packed.ids.device
    return torch.tensor(rows, device=device), torch.tensor(targets, dtype=torch.long, device=device)


def predicting(trunk: Trunk, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Hidden states `(M, H)` that predict the response tokens of all pairs, in order, and those tokens `(M,)`."""
    packed = joined(pairs, trunk.device)
    rows, targets = predictors(pairs, packed)
    return trunk.hidden(packed)[rows], targets


def response_logprobs(
    trunk: Trunk, pairs: Sequence[Pair], *, temperature: float = 1.0, max_tokens: int = 4096
) -> list[Tensor]:
    """Log-probability in nats of each response token given what stands before it: one fp32 tensor a pair.

    `max_tokens` bounds one forward pass; the answer does not depend on it.
    """
    results: list[Tensor] = []
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    with torch.no_grad():
        for group in by_tokens(lengths, max_tokens):
            chosen = [pairs[i] for i in group]
            hidden, targets = predicting(trunk, chosen)
            logprobs, _ = trunk.token_logprobs(hidden, targets, temperature)
            results.extend(logprobs.cpu().split([len(response) for _, response in chosen]))
    return results
