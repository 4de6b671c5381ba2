"""Sequences laid end to end, without padding: what the trunk takes.

What several sequences begin with (a system message, a prompt with its responses) is laid down once. So a
pack is a forest of pieces: runs of tokens, each of which goes on from its parent. A token sees its own
piece up to itself and the pieces above it, never its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

WORTH_SHARING = 8
"""Tokens that sequences must have in common, beyond what their piece has already, to be laid down once.

A shorter beginning ("How do I") costs more as a piece of its own than it saves.
"""


class Piece(NamedTuple):
    """A run of tokens: the index of the piece that it goes on from (-1: it begins a sequence), its length."""

    parent: int
    length: int


@dataclass(frozen=True)
class Packed:
    """Token ids `(N,)` of all pieces, one after the other, parents first.

    `leaves` says for each sequence in which piece it ends. `layouts` is where attention keeps what it
    works out of the pieces, so that it does so once for all layers.
    """

    ids: Tensor
    pieces: tuple[Piece, ...]
    leaves: tuple[int, ...]
    layouts: dict[tuple[int, int], Any] = field(default_factory=dict[tuple[int, int], Any], compare=False)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each piece begins in `ids`."""
        return tuple(accumulate((piece.length for piece in self.pieces[:-1]), initial=0))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """How many tokens stand above each piece."""
        depths: list[int] = []
        for piece in self.pieces:
            above = piece.parent
            depths.append(0 if above < 0 else depths[above] + self.pieces[above].length)
        return tuple(depths)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The length of each sequence."""
        return tuple(self.depths[leaf] + self.pieces[leaf].length for leaf in self.leaves)

    @cached_property
    def positions(self) -> Tensor:
        """`(N,)`: each token's place in its sequence, from 0."""
        places = [torch.arange(d, d + p.length) for d, p in zip(self.depths, self.pieces, strict=True)]
        return torch.cat(places).to(self.ids.device)

    @cached_property
    def ends(self) -> Tensor:
        """`(num_sequences,)`: index in `ids` of each sequence's last token."""
        ends = [self.offsets[leaf] + self.pieces[leaf].length - 1 for leaf in self.leaves]
        return torch.tensor(ends, device=self.ids.device)

    def path(self, piece: int) -> list[int]:
        """Indices in `ids` of the tokens from a sequence's first to the last of `piece`."""
        if piece < 0:
            return []
        first = self.offsets[piece]
        return [*self.path(self.pieces[piece].parent), *range(first, first + self.pieces[piece].length)]

    def tokens_of(self, sequence: int) -> list[int]:
        """Indices in `ids` of one sequence's tokens, in order."""
        return self.path(self.leaves[sequence])


def pack(sequences: Sequence[Sequence[int]], device: torch.device | str | None = None) -> Packed:
    """Lay sequences down, each shared beginning once. Raises `ValueError` for an empty sequence."""
    return _Forest(sequences).packed(device)


def pack_apart(sequences: Sequence[Sequence[int]], device: torch.device | str | None = None) -> Packed:
    """Lay sequences end to end in their order, sharing nothing. Raises `ValueError` for an empty one."""
    _require_tokens(sequences)
    flat = [token for sequence in sequences for token in sequence]
    pieces = tuple(Piece(-1, len(s)) for s in sequences)
    return Packed(_tensor(flat, device), pieces, tuple(range(len(sequences))))


class _Forest:
    """Finds what sequences share: sorted, those that begin alike stand side by side."""

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        _require_tokens(sequences)
        whole = [tuple(s) for s in sequences]
        self.order = sorted(range(len(whole)), key=whole.__getitem__)
        self.rows = [whole[i] for i in self.order]
        self.common = [_common(a, b) for a, b in zip(self.rows, self.rows[1:], strict=False)]
        self.flat: list[int] = []
        self.pieces: list[Piece] = []
        self.leaves = [0] * len(whole)
        self._grow(0, len(whole), 0, -1)

    def packed(self, device: torch.device | str | None) -> Packed:
        return Packed(_tensor(self.flat, device), tuple(self.pieces), tuple(self.leaves))

    def _grow(self, first: int, last: int, depth: int, parent: int) -> None:
        """Lay down the rows [first, last), which share their first `depth` tokens, those of `parent`."""
        start = first
        while start < last:
            stop = start + 1
            while stop < last and self._alike(stop - 1, depth):
                stop += 1
            shared = min(self.common[start : stop - 1], default=len(self.rows[start]))
            if shared == depth:  # nothing of its own: it ends where the piece above does
                self.leaves[self.order[start]] = parent
            else:
                self.pieces.append(Piece(parent, shared - depth))
                self.flat.extend(self.rows[start][depth:shared])
                if stop - start == 1:
                    self.leaves[self.order[start]] = len(self.pieces) - 1
                else:
                    self._grow(start, stop, shared, len(self.pieces) - 1)
            start = stop

    def _alike(self, row: int, depth: int) -> bool:
        """Whether a row and the next share enough beyond `depth`; two that are the same share all."""
        own = self.common[row] - depth
        return own >= WORTH_SHARING or (own > 0 and self.rows[row] == self.rows[row + 1])


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two rows begin with alike."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _require_tokens(sequences: Sequence[Sequence[int]]) -> None:
    if not sequences or any(len(s) == 0 for s in sequences):
        raise ValueError("cannot pack an empty sequence")


def _tensor(flat: Sequence[int], device: torch.device | str | None) -> Tensor:
    return torch.tensor(flat, dtype=torch.long, device=device)


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
