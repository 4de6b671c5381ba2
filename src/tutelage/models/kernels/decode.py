"""Fast decoding with the fused weights of `tutelage.models.kernels.fused` and a cache that never grows.

Its plain twin is `tutelage.sampling.generic`, which runs the model of transformers as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.models.kernels.fused import Attend, FusedModel
from tutelage.models.packed import by_tokens, pack_apart

PREFILL_TOKENS = 4096
"""Prompt tokens read in one pass."""


class FusedDecoder:
    """Up to `rows` sequences side by side, each a row of a preallocated cache.

    All rows write the same column at a step. A prompt that joins is laid so that it ends there, so
    columns are not positions: a row's own columns begin at its start, and the ones before it are hidden.
    What all prompts begin with (a system message, an instruction) is computed once and copied.
    """

    joins = True

    def __init__(
        self, model: FusedModel, rows: int, prompts: Sequence[Sequence[int]], new_tokens: int
    ) -> None:
        self.model = model
        self.longest = max(len(p) for p in prompts)
        # Room for one generation, and if there are prompts to join later for one more before anything moves.
        self.capacity = self.longest + new_tokens * (2 if len(prompts) > 1 else 1)
        shape = (len(model.layers), rows, model.kv_heads, self.capacity, model.head_width)
        self.keys = torch.zeros(shape, dtype=model.embedding.dtype, device=model.embedding.device)
        self.values = torch.zeros_like(self.keys)
        self.cos, self.sin = model.angles(self.longest + new_tokens)
        self.starts: list[int] = []
        self.now = self.longest
        self.shared = _common_prefix(prompts)
        if self.shared:
            self._read([prompts[0][: self.shared]], known=0)
            columns = slice(self.now - self.shared, self.now)
            self.prefix = [cache[:, 0, :, columns].clone() for cache in (self.keys, self.values)]
            self.starts.clear()

    def admit(self, prompts: Sequence[Sequence[int]], copies: int) -> Tensor:
        """Add `copies` rows for each prompt; hidden states of their last tokens."""
        parts: list[Tensor] = []
        for group in by_tokens([len(p) for p in prompts], PREFILL_TOKENS):
            first = len(self.starts)
            parts.append(self._read([prompts[i] for i in group], known=self.shared))
            starts = self.starts[first:]
            sources = [first + i for i in range(len(group)) for _ in range(copies)]
            self.starts[first:] = [start for start in starts for _ in range(copies)]
            # From the last row down, so that no row is written before it was copied.
            self._copy(range(first + len(sources) - 1, first, -1), sources[:0:-1], min(starts))
        return torch.cat(parts).repeat_interleave(copies, 0)

    def step(self, tokens: Tensor) -> Tensor:
        """One more token for each row: hidden states (rows, H)."""
        if self.now == self.capacity:
            self._shift()
        starts = torch.tensor(self.starts, device=tokens.device)
        first, rows = min(self.starts), slice(0, len(self.starts))
        columns = torch.arange(first, self.now + 1, device=tokens.device)
        hidden = (columns[None] < starts[:, None])[:, :, None]
        attend = self._attention(rows, self.now, rows, columns, hidden, None)
        out = self.model.through(tokens, self.cos[self.now - starts], self.sin[self.now - starts], attend)
        self.now += 1
        return out

    def keep(self, order: Sequence[int]) -> None:
        """Row i becomes what row `order[i]` was; rows that `order` leaves out are forgotten."""
        moved = [i for i, source in enumerate(order) if i != source]
        self._copy(moved, [order[i] for i in moved], min(self.starts))
        self.starts = [self.starts[i] for i in order]
        if not order:
            self.now = self.longest

    def logits(self, hidden: Tensor) -> Tensor:
        """`(rows, H)` -> `(rows, V)` in fp32."""
        return self.model.head(hidden).float()

    def _read(self, prompts: Sequence[Sequence[int]], known: int) -> Tensor:
        """Add a row for each prompt, whose first `known` tokens are the shared prefix; last hidden states."""
        device, base, first = self.keys.device, len(self.starts), self.now - max(len(p) for p in prompts)
        self.starts.extend(self.now - len(p) for p in prompts)
        for row in range(base, len(self.starts)) if known else ():
            columns = slice(self.starts[row], self.starts[row] + known)
            for cache, prefix in zip((self.keys, self.values), self.prefix, strict=True):
                cache[:, row, :, columns] = prefix
        packed = pack_apart([p[known:] for p in prompts], device)
        lengths = torch.tensor(packed.lengths, device=device)
        span = max(packed.lengths)
        rows = torch.arange(len(prompts), device=device).repeat_interleave(lengths)
        columns = packed.positions + self.now - lengths.repeat_interleave(lengths)
        grid = rows * span + columns - (self.now - span)
        seen = torch.arange(first, self.now, device=device)
        ahead = seen[:, None] > torch.arange(self.now - span, self.now, device=device)[None]
        starts = torch.tensor(self.starts[base:], device=device)
        hidden = (seen[None] < starts[:, None])[:, :, None] | ahead[None]
        attend = self._attention(rows + base, columns, slice(base, len(self.starts)), seen, hidden, grid)
        positions = packed.positions + known
        return self.model.through(packed.ids, self.cos[positions], self.sin[positions], attend)[packed.ends]

    def _attention(
        self, rows: Any, columns: Any, block: slice, seen: Tensor, hidden: Tensor, grid: Tensor | None
    ) -> Attend:
        """Write new keys at (`rows`, `columns`), then let each new token look back over the columns `seen`.

        `hidden` (rows of `block`, seen, span): what may not be looked at. `grid` (T,): where each new
        token sits among the rows * span queries, None if there is one a row.
        """
        kv_heads, width = self.model.kv_heads, self.model.head_width
        batch, span, past = len(hidden), hidden.shape[2], slice(int(seen[0]), int(seen[-1]) + 1)
        group = self.model.heads // kv_heads if span > 1 else 1
        bias = torch.zeros(hidden.shape, dtype=self.keys.dtype, device=hidden.device)
        # The lowest number and not minus infinity: a padded query, which nobody reads, sees nothing at all.
        bias = bias.masked_fill_(hidden, torch.finfo(bias.dtype).min)
        bias = bias.repeat_interleave(kv_heads, 0).repeat(1, 1, group)

        def attend(index: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            self.keys[index, rows, :, columns] = keys
            self.values[index, rows, :, columns] = values
            past_keys = self.keys[index, block, :, past].flatten(0, 1)
            past_values = self.values[index, block, :, past].flatten(0, 1)
            if grid is not None:
                padded = queries.new_zeros(batch * span, *queries.shape[1:])
                queries = padded.index_copy_(0, grid, queries)
            # Query heads that share a key head are columns of one product, so keys are not repeated.
            asked = queries.reshape(batch, span, kv_heads, -1, width).permute(0, 2, 4, 3, 1)
            asked = asked.reshape(batch * kv_heads, width, -1)
            logits = torch.baddbmm(bias, past_keys, asked, alpha=self.model.scale)
            found = torch.bmm(logits.transpose(1, 2).softmax(-1), past_values)
            found = found.view(batch, kv_heads, -1, span, width).permute(0, 3, 1, 2, 4)
            found = found.reshape(batch * span, -1)
            return found if grid is None else found[grid]

        return attend

    def _copy(self, targets: Sequence[int], sources: Sequence[int], first: int) -> None:
        for target, source in zip(targets, sources, strict=True):
            if target != source:
                for cache in (self.keys, self.values):
                    cache[:, target, :, first : self.now] = cache[:, source, :, first : self.now]

    def _shift(self) -> None:
        """Move what is still seen to the left, leaving room for the longest prompt to join."""
        first = min(self.starts)
        by = self.now - max(self.longest, self.now - first)
        for cache in (self.keys, self.values):
            cache[:, :, :, first - by : self.now - by] = cache[:, :, :, first : self.now].clone()
        self.starts = [start - by for start in self.starts]
        self.now -= by


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, leaving each at least one of its own."""
    first, last = min(prompts), max(prompts)
    shortest = min(len(p) for p in prompts) - 1
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), shortest)
    return min(same, shortest) if len(prompts) > 1 else 0
