"""Best of n as a sampler: each response that it gives is the one of n that scores highest.

Takes any sampler and a function that scores; leaves nothing, since nothing is trained. How far it goes from
the policy, and what it gains, stands in `stats.best_of_n`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from tutelage.core.errors import RecipeError
from tutelage.models.scoring import Pair
from tutelage.sampling.sampler import Progress, Sample, Sampler, SamplingSettings

Score = Callable[[Sequence[Pair]], Tensor]
"""Scores `(B,)` of (prompt, response) pairs, on the CPU."""


@dataclass(frozen=True)
class BestOfN:
    """A `Sampler` over a sampler (Stiennon et al. 2020). Of responses that score alike the first is given.

    The trap: a sample's `logprobs` are those of the sampler beneath, and not of this one, which is another
    distribution; train on them as if they were its own and the policy gradient is wrong.
    """

    sampler: Sampler
    score: Score
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise RecipeError(f"the best of {self.n} responses: draw at least one")

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        num_samples: int = 1,
        on_progress: Progress | None = None,
    ) -> list[list[Sample]]:
        """The best of `n` to each prompt, `num_samples` times, in order; no response is drawn twice for it."""
        groups = self.sampler.sample(prompts, settings, num_samples * self.n, on_progress)
        pairs: list[Pair] = [(p, s.ids) for p, group in zip(prompts, groups, strict=True) for s in group]
        if not pairs:
            return [[] for _ in prompts]
        best = self.score(pairs).view(len(prompts), num_samples, self.n).argmax(2).tolist()
        return [
            [group[turn * self.n + place] for turn, place in enumerate(places)]
            for group, places in zip(groups, best, strict=True)
        ]
