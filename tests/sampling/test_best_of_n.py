"""Best of n as a sampler: it gives the distribution that can be counted, from what the sampler beneath drew."""

from __future__ import annotations

import pytest
import torch

from benchmarks.spaces import PROMPT, Space, actors_for, distribution
from tutelage.core.errors import RecipeError
from tutelage.sampling.best_of_n import BestOfN
from tutelage.sampling.sampler import SamplingSettings
from tutelage.stats.best_of_n import best_distribution


def test_it_draws_from_the_counted_distribution() -> None:
    """20,000 draws of 6 responses: a share's deviation is at most 0.0035, and 0.015 is four of them."""
    space = Space.random(vocabulary=6, length=1, beta=1.0, seed=0)
    actors = actors_for(space, seed=1)
    p = distribution(actors.policy, space).double().exp()
    best = BestOfN(actors.sampler, space.score, 3)
    (samples,) = best.sample([PROMPT], SamplingSettings(max_new_tokens=1, seed=4), 20_000)
    seen = torch.bincount(torch.tensor([s.ids[0] for s in samples]), minlength=6) / len(samples)
    expected = best_distribution((p / p.sum()).numpy(), space.rewards.numpy(), 3)
    assert float(abs(p.numpy() - expected).max()) > 0.05  # it is not the policy's own
    assert float(abs(seen.numpy() - expected).max()) < 0.015


def test_each_is_the_first_best_of_its_own_n_and_prompts_keep_their_order() -> None:
    space = Space.random(vocabulary=6, length=2, beta=1.0, seed=0)
    actors = actors_for(space, seed=1)
    how = SamplingSettings(max_new_tokens=2, seed=4)
    tied = lambda pairs: torch.tensor([float(r[0] % 2) for _, r in pairs])  # noqa: E731
    prompts = [(0, 1), (1, 0, 2)]
    drawn = actors.sampler.sample(prompts, how, 8)
    found = BestOfN(actors.sampler, tied, 4).sample(prompts, how, 2)
    for group, kept in zip(drawn, found, strict=True):
        for turn, sample in enumerate(kept):
            four = group[4 * turn : 4 * turn + 4]
            assert sample == next((s for s in four if s.ids[0] % 2), four[0])


def test_no_n_below_one() -> None:
    space = Space.random(vocabulary=6, length=1, beta=1.0, seed=0)
    with pytest.raises(RecipeError, match="at least one"):
        BestOfN(actors_for(space, seed=1).sampler, space.score, 0)
