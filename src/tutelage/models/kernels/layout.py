"""Where the tokens of a pack stand in the padded grids that attention multiplies.

A row of the grid is a piece (`models.packed`): its queries are its own tokens, its keys the tokens above it
and then its own. The longest come first, so a block of queries far into the rows leaves out the rows that
have ended. Everything is an index, worked out once for all layers, so that going to the grid and back is
one gather each way, and its gradient one gather or one sum over bags.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.models.packed import Packed

BLOCK = 64
"""Queries of a row that are multiplied at once: keys ahead of the last of them are left out."""


class Layout:
    """Grids for `heads` query and `kv_heads` key heads. With R pieces, the longest of Q tokens under at most A:

    queries are (R * kv_heads, heads / kv_heads, Q, D), keys and values (R * kv_heads, A + Q, D).
    """

    def __init__(self, packed: Packed, heads: int, kv_heads: int) -> None:
        self.heads, self.kv_heads, self.group = heads, kv_heads, heads // kv_heads
        self.rows, self.own = len(packed.pieces), max(piece.length for piece in packed.pieces)
        self.above = max(packed.depths)
        self.tokens = len(packed.ids)
        self.device = packed.ids.device
        keys = torch.full((self.rows, self.above + self.own), -1)
        order = sorted(range(self.rows), key=lambda number: -packed.pieces[number].length)
        for row, number in enumerate(order):
            piece, offset = packed.pieces[number], packed.offsets[number]
            keys[row, : packed.depths[number]] = torch.tensor(packed.path(piece.parent), dtype=torch.long)
            keys[row, self.above : self.above + piece.length] = torch.arange(offset, offset + piece.length)
        queries = keys[:, self.above :]
        self._longest_first = [packed.pieces[number].length for number in order]
        self._seen_above = (keys[:, : self.above] >= 0).to(self.device)
        # A place in the padding takes the first token: nothing that is read looks at it.
        self.query_tokens = self._by_head(queries.clamp(min=0), heads).to(self.device)
        self.key_tokens = self._by_head(keys.clamp(min=0), kv_heads).to(self.device)
        self.query_places = self._places(queries, heads).to(self.device)
        self.key_bags, self.key_bag_starts = (t.to(self.device) for t in self._bags(keys))
        self._biases: dict[tuple[int, torch.dtype], Tensor] = {}

    def blocks(self) -> list[tuple[int, int, int]]:
        """Ranges [start, end) of queries that are multiplied together, and how many rows * kv_heads reach so far."""
        starts = range(0, self.own, BLOCK)
        return [(s, min(s + BLOCK, self.own), self._reaching(s) * self.kv_heads) for s in starts]

    def bias(self, start: int, end: int, dtype: torch.dtype) -> Tensor:
        """For one block (rows * kv_heads, group * (end - start), A + end): 0 where a query may look, else -inf."""
        if (start, dtype) not in self._biases:
            own = torch.arange(end, device=self.device)
            causal = own[None, :] <= own[start:end, None]
            reaching = self._reaching(start)
            above = self._seen_above[:reaching, None, :].expand(-1, end - start, -1)
            visible = torch.cat([above, causal.expand(reaching, -1, -1)], 2)
            bias = torch.zeros(visible.shape, dtype=dtype, device=self.device)
            bias = bias.masked_fill_(~visible, float("-inf")).repeat(1, self.group, 1)
            self._biases[start, dtype] = bias.repeat_interleave(self.kv_heads, 0)
        return self._biases[start, dtype]

    def _reaching(self, start: int) -> int:
        """How many rows, the first ones, have a query at `start`."""
        return sum(length > start for length in self._longest_first)

    def _by_head(self, tokens: Tensor, heads: int) -> Tensor:
        """(R, T) places of tokens -> (R * heads * T,) rows of an (N * heads, D) tensor, in the grid's order."""
        return (tokens[:, None, :] * heads + torch.arange(heads)[None, :, None]).flatten()

    def _places(self, tokens: Tensor, heads: int) -> Tensor:
        """(N * heads,): where in the flat grid each token's row of each head stands."""
        row, place = (tokens >= 0).nonzero(as_tuple=True)
        places = torch.empty(self.tokens, heads, dtype=torch.long)
        grid = (row[:, None] * heads + torch.arange(heads)[None]) * tokens.shape[1] + place[:, None]
        places[tokens[row, place]] = grid
        return places.flatten()

    def _bags(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """All places of the key grid where each token's row of each head stands, and where each bag begins."""
        row, place = (keys >= 0).nonzero(as_tuple=True)
        token, order = keys[row, place].sort(stable=True)
        row, place = row[order], place[order]
        counts = torch.bincount(token, minlength=self.tokens)
        head = torch.arange(self.kv_heads)
        # A token's bags, one for each head, stand side by side and are equally large.
        starts = (counts.cumsum(0) - counts)[:, None] * self.kv_heads + counts[:, None] * head
        grid = (row * self.kv_heads)[:, None] * keys.shape[1] + place[:, None] + head * keys.shape[1]
        within = torch.arange(len(token)) - (counts.cumsum(0) - counts)[token]
        bags = torch.empty(len(token) * self.kv_heads, dtype=torch.long)
        bags[(starts[token] + within[:, None]).flatten()] = grid.flatten()
        return bags, starts.flatten()


def layout_of(packed: Packed, heads: int, kv_heads: int) -> Layout:
    """The pack's layout for these heads; worked out at the first call."""
    if (heads, kv_heads) not in packed.layouts:
        packed.layouts[heads, kv_heads] = Layout(packed, heads, kv_heads)
    found: Layout = packed.layouts[heads, kv_heads]
    return found
