"""Log-probabilities of responses under whichever adapter is active, without padding and without gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.models.packed import Packed, by_tokens, pack_branches
from tutelage.models.trunk import Trunk

Pair = tuple[Sequence[int], Sequence[int]]
"""Prompt tokens and response tokens."""


def joined(pairs: Sequence[Pair], device: torch.device) -> Packed:
    """Each prompt followed by its response, packed; neighbours with the same prompt share it."""
    return pack_branches(_shared(pairs), device)


def predictors(pairs: Sequence[Pair], device: torch.device) -> tuple[Tensor, Tensor]:
    """For `joined(pairs)`: the rows whose hidden state predicts a response token, and those tokens.

    Both `(M,)`, M being the response tokens of all pairs together, in order.
    """
    rows: list[int] = []
    targets: list[int] = []
    offset = 0
    for prompt, responses in _shared(pairs):
        offset += len(prompt)
        last_of_prompt = offset - 1
        for response in responses:
            rows.append(last_of_prompt)
            rows.extend(range(offset, offset + len(response) - 1))
            targets.extend(response)
            offset += len(response)
    return torch.tensor(rows, device=device), torch.tensor(targets, dtype=torch.long, device=device)


def _shared(pairs: Sequence[Pair]) -> list[tuple[Sequence[int], list[Sequence[int]]]]:
    groups: list[tuple[Sequence[int], list[Sequence[int]]]] = []
    for prompt, response in pairs:
        if groups and list(groups[-1][0]) == list(prompt):
            groups[-1][1].append(response)
        else:
            groups.append((prompt, [response]))
    return groups


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
