"""The local sampler: decodes from a trunk with a cache; finished responses make room for waiting prompts.

A prompt is read once for all its samples. Each response draws from its own row of random numbers, fixed
by the seed and its place in the list, so what is sampled for one prompt does not depend on the others
beside it (but for the last bit of a sum: in bf16 that can turn a draw that was on the edge).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from tutelage.models.kernels.decode import FusedDecoder
from tutelage.models.kernels.fused import FusedModel, fits
from tutelage.models.trunk import Trunk
from tutelage.sampling.choose import choose
from tutelage.sampling.generic import GenericDecoder
from tutelage.sampling.sampler import Progress, Sample, SamplingSettings


class Decoder(Protocol):
    """Rows of growing sequences; `joins` says whether prompts may come in while others are under way."""

    joins: bool

    def admit(self, prompts: Sequence[Sequence[int]], copies: int) -> Tensor: ...

    def step(self, tokens: Tensor) -> Tensor: ...

    def keep(self, order: Sequence[int]) -> None: ...

    def logits(self, hidden: Tensor) -> Tensor: ...


@dataclass
class _Growing:
    """A response under way: which prompt it answers, its random numbers, and what it has so far."""

    prompt: int
    draws: list[float]
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])


class LocalSampler:
    """Samples from `trunk` with `adapter` active, `batch` sequences side by side.

    With `fast` it decodes by `tutelage.models.kernels` where that fits the model, at the price of
    one more copy of the weights while `sample` runs; that of a bare, frozen trunk is kept.
    """

    def __init__(self, trunk: Trunk, adapter: str | None, batch: int = 32, *, fast: bool = True) -> None:
        self.trunk, self.adapter, self.batch = trunk, adapter, batch
        self.fast = fast and fits(trunk.model)
        self._kept: FusedModel | None = None

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        num_samples: int = 1,
        on_progress: Progress | None = None,
    ) -> list[list[Sample]]:
        """`num_samples` responses to each prompt, in order; each at most `settings.max_new_tokens` long."""
        if not prompts:
            return []
        generator = torch.Generator().manual_seed(settings.seed)
        draws = torch.rand(len(prompts), num_samples, settings.max_new_tokens, generator=generator).tolist()
        rows = max(self.batch, num_samples)
        groups = [[_Growing(i, row) for row in draws[i]] for i in range(len(prompts))]
        # Prompts of like length stand side by side, so that little of the cache is padding.
        waiting = deque(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
        alive: list[_Growing] = []
        hidden = torch.empty(0)
        with self.trunk.using(self.adapter):
            decoder = self._decoder(prompts, settings, rows, num_samples)
            while waiting or alive:
                room = (rows - len(alive)) // num_samples
                # A prefill has its price, so it waits until a quarter of the rows is free.
                if waiting and (not alive or (decoder.joins and room >= max(1, rows // num_samples // 4))):
                    coming = [waiting.popleft() for _ in range(min(room, len(waiting)))]
                    fresh = decoder.admit([prompts[i] for i in coming], num_samples)
                    hidden = torch.cat([hidden, fresh]) if alive else fresh
                    alive.extend(growing for i in coming for growing in groups[i])
                going = self._extend(alive, decoder.logits(hidden), settings)
                if on_progress is not None:
                    on_progress(len(alive), len(alive) - len(going))
                if len(going) < len(alive):
                    alive = self._compact(decoder, alive, going)
                if alive:
                    hidden = decoder.step(torch.tensor([g.ids[-1] for g in alive], device=self.trunk.device))
        return [[self._sample(growing) for growing in group] for group in groups]

    def _decoder(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings, rows: int, num_samples: int
    ) -> Decoder:
        if not self.fast:
            return GenericDecoder(self.trunk)
        rows = min(rows, len(prompts) * num_samples)
        fused = self._kept or FusedModel(self.trunk.model, self.adapter, rows)
        if self.adapter is None and self.trunk.layers:
            self._kept = fused
        return FusedDecoder(fused, rows, prompts, settings.max_new_tokens)

    def _extend(self, alive: Sequence[_Growing], logits: Tensor, settings: SamplingSettings) -> list[int]:
        """Give each response its next token; returns the rows that are not finished."""
        uniform = torch.tensor([g.draws[len(g.ids)] for g in alive], device=logits.device)
        tokens, logprobs = choose(logits, uniform, settings.temperature, settings.top_p)
        going: list[int] = []
        for row, (token, logprob) in enumerate(zip(tokens.tolist(), logprobs.tolist(), strict=True)):
            growing = alive[row]
            growing.ids.append(token)
            growing.logprobs.append(logprob)
            if token != self.trunk.contract.end_id and len(growing.ids) < settings.max_new_tokens:
                going.append(row)
        return going

    def _compact(self, decoder: Decoder, alive: list[_Growing], going: list[int]) -> list[_Growing]:
        """Move the last rows into the places of finished ones, so that little of the cache is copied."""
        staying = [row for row in going if row < len(going)]
        late = iter(row for row in going if row >= len(going))
        kept = set(staying)
        order = [row if row in kept else next(late) for row in range(len(going))]
        decoder.keep(order)
        return [alive[row] for row in order]

    def _sample(self, growing: _Growing) -> Sample:
        finished = bool(growing.ids) and growing.ids[-1] == self.trunk.contract.end_id
        return Sample(tuple(growing.ids), tuple(growing.logprobs), finished)
