"""Sequences laid end to end, without padding: what the trunk takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """Token ids `(N,)` of several sequences one after the other, and the length of each."""

    ids: Tensor
    lengths: tuple[int, ...]

    @cached_property
    def positions(self) -> Tensor:
        """`(N,)`: each token's place in its own sequence, from 0."""
        return torch.cat([torch.arange(n) for n in self.lengths]).to(self.ids.device)

    @cached_property
    def starts(self) -> Tensor:
        """`(num_sequences,)`: index of each sequence's first token."""
        return self.ends - torch.tensor(self.lengths, device=self.ids.device) + 1

    @cached_property
    def ends(self) -> Tensor:
        """`(num_sequences,)`: index of each sequence's last token."""
        return torch.tensor(self.lengths, device=self.ids.device).cumsum(0) - 1


def pack(sequences: Sequence[Sequence[int]], device: torch.device | str | None = None) -> Packed:
    """Lay sequences end to end. Raises `ValueError` for an empty one."""
    if not sequences or any(len(s) == 0 for s in sequences):
        raise ValueError("cannot pack an empty sequence")
    flat = [token for sequence in sequences for token in sequence]
    return Packed(torch.tensor(flat, dtype=torch.long, device=device), tuple(len(s) for s in sequences))


def by_tokens(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Split indices into groups of at most `max_tokens` tokens each, in order; a longer one stands alone."""
    group: list[int] = []
    tokens = 0
    for index, length in enumerate(lengths):
        if group and tokens + length > max_tokens:
            yield group
            group, tokens = [], 0
        group.append(index)
        tokens += length
    if group:
        yield group
