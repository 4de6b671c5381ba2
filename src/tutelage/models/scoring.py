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
    """Each prompt followed by its response, packed."""
    return pack([[*prompt, *response] for prompt, response in pairs], device)


def predictors(pairs: Sequence[Pair], device: torch.device) -> tuple[Tensor, Tensor]:
    """For `joined(pairs)`: the rows whose hidden state predicts a response token, and those tokens.

    Both `(M,)`, M being the response tokens of all pairs together, in order.
    """
    rows: list[int] = []
    targets: list[int] = []
    offset = 0
    for prompt, response in pairs:
        first = offset + len(prompt) - 1
        rows.extend(range(first, first + len(response)))
        targets.extend(response)
        offset += len(prompt) + len(response)
    return torch.tensor(rows, device=device), torch.tensor(targets, dtype=torch.long, device=device)


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
            rows, targets = predictors(chosen, trunk.device)
            hidden = trunk.hidden(joined(chosen, trunk.device))[rows]
            logprobs, _ = trunk.token_logprobs(hidden, targets, temperature)
            results.extend(logprobs.cpu().split([len(response) for _, response in chosen]))
    return results
