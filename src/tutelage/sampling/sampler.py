"""What a sampler is: prompts in, responses with the log-probability of each token out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with the numbers of tokens sampled and of responses finished since the last call."""


@dataclass(frozen=True)
class SamplingSettings:
    """How to sample. `temperature` 0 takes the likeliest token each time."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """One response. `logprobs` are nats under the distribution at the sampling temperature, before
    any top-p cut. `finished`: it ended by itself, and its last id is the end token."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool


class Sampler(Protocol):
    """Anything that answers prompts."""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        num_samples: int = 1,
        on_progress: Progress | None = None,
    ) -> list[list[Sample]]:
        """`num_samples` responses to each prompt (token ids with the generation prompt), in order."""
        ...
