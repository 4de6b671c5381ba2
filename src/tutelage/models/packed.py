"""Sequences laid end to end, without padding: what the trunk takes.

Several continuations of one prompt are laid as branches behind it, so the prompt is computed once; a
branch sees the prompt and itself, never its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Branches = tuple[tuple[int, ...], ...]
"""For each sequence: the length of its prompt, then that of each branch behind it."""


@dataclass(frozen=True)
class Packed:
    """Token ids `(N,)` of several sequences one after the other, and the length of each.

    With `branches`, a sequence is a prompt and its branches; without, it is one piece.
    """

    ids: Tensor
    lengths: tuple[int, ...]
    branches: Branches | None = None

    @cached_property
    def positions(self) -> Tensor:
        """`(N,)`: each token's place in its own sequence, from 0; every branch goes on from the prompt."""
        if self.branches is None:
            places = [torch.arange(n) for n in self.lengths]
        else:
            places = []
            for prompt, *branches in self.branches:
                places += [torch.arange(prompt), *(torch.arange(prompt, prompt + n) for n in branches)]
        return torch.cat(places).to(self.ids.device)

    @cached_property
    def starts(self) -> Tensor:
        """`(num_sequences,)`: index of each sequence's first token."""
        lengths = torch.tensor(self.lengths, device=self.ids.device)
        return lengths.cumsum(0) - lengths

    @cached_property
    def ends(self) -> Tensor:
        """Index of the last token of each sequence, or of each branch where there are branches."""
        if self.branches is None:
            return torch.tensor(self.lengths, device=self.ids.device).cumsum(0) - 1
        ends: list[int] = []
        offset = 0
        for prompt, *branches in self.branches:
            offset += prompt
            for length in branches:
                offset += length
                ends.append(offset - 1)
        return torch.tensor(ends, device=self.ids.device)


def pack(sequences: Sequence[Sequence[int]], device: torch.device | str | None = None) -> Packed:
    """Lay sequences end to end. Raises `ValueError` for an empty one."""
    if not sequences or any(len(s) == 0 for s in sequences):
        raise ValueError("cannot pack an empty sequence")
    flat = [token for sequence in sequences for token in sequence]
    return Packed(torch.tensor(flat, dtype=torch.long, device=device), tuple(len(s) for s in sequences))


def pack_branches(
    groups: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]], device: torch.device | str | None = None
) -> Packed:
    """Lay prompts, each with its branches behind it. Raises `ValueError` for an empty prompt or branch."""
    whole = [[*prompt, *(token for branch in branches for token in branch)] for prompt, branches in groups]
    packed = pack(whole, device)
    shape = tuple((len(prompt), *(len(branch) for branch in branches)) for prompt, branches in groups)
    if any(0 in lengths or len(lengths) < 2 for lengths in shape):
        raise ValueError("cannot pack an empty prompt or branch")
    # Without a second branch anywhere, plain causality says the same and is cheaper.
    forked = any(len(lengths) > 2 for lengths in shape)
    return Packed(packed.ids, packed.lengths, shape if forked else None)


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
