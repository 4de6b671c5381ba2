"""PPO on worlds in which everything can be counted: does it arrive at `pi_ref exp(r / beta) / Z`?

The training is `tutelage.training.ppo.train_ppo` as a recipe runs it (sampler, GAE, whitening, clipping);
only the model is a small random Llama and the reward a table of normal numbers. What is reported is the
worst of the seeds, and as interval the range over them.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims.claim import Bound, Claim, Measurement

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class World:
    """Size of a world, the weight of its KL penalty, and how long PPO trains in it."""

    vocabulary: int
    length: int
    beta: float
    iterations: int
    rollouts: int
    rate: float


WORLDS = {
    "bandit": World(vocabulary=32, length=1, beta=0.5, iterations=200, rollouts=512, rate=3e-3),
    "tree": World(vocabulary=6, length=3, beta=1.0, iterations=200, rollouts=512, rate=4e-3),
}
_WHERE = {
    "bandit": "a bandit of 32 answers (beta 0.5)",
    "tree": "a tree of 3 tokens, 216 answers (beta 1)",
}

CLAIMS = tuple(
    claim
    for name in WORLDS
    for claim in (
        Claim(
            f"{name}_kl",
            f"PPO on {_WHERE[name]} reaches the known optimum: KL(policy, pi_ref exp(r/beta)/Z)",
            "nats",
            (Bound("<", 0.01),),
        ),
        Claim(
            f"{name}_value",
            "its value head there against exact returns: root mean square error (the reward has deviation 1)",
            "reward units",
            (Bound("<", 0.05),),
        ),
    )
)


def measure() -> Iterator[tuple[str, Measurement]]:
    import torch

    torch.set_num_threads(1)
    for name, world in WORLDS.items():
        found = [train(world, seed) for seed in SEEDS]
        started = min(f.start for f in found)
        note = f"worst and range of {len(SEEDS)} seeds; KL before training at least {started:.2f}"
        kls, errors = [f.kl for f in found], [f.value_error for f in found]
        yield f"{name}_kl", _worst(kls, note)
        yield f"{name}_value", _worst(errors, f"worst and range of {len(SEEDS)} seeds")


@dataclass(frozen=True)
class Arrived:
    """KL to the optimum before and after training, and the value head's error."""

    start: float
    kl: float
    value_error: float


def train(world: World, seed: int) -> Arrived:
    """Train PPO in one random world."""
    from benchmarks.spaces import (
        PROMPT,
        Space,
        actors_for,
        distribution,
        kl_divergence,
        optimum,
        settings_for,
        value_error,
    )
    from tutelage.core.recorder import Recorder
    from tutelage.training.ppo import train_ppo

    space = Space.random(world.vocabulary, world.length, world.beta, seed)
    actors = actors_for(space, seed + 1)
    reference = distribution(actors.reference, space)
    best = optimum(reference, space)
    settings = settings_for(space, world.iterations, world.rollouts, world.rate)
    with tempfile.TemporaryDirectory() as folder:
        prompts = [PROMPT] * world.rollouts
        train_ppo(actors, prompts, [], settings, folder=Path(folder), recorder=Recorder("ppo"), seed=seed)
    reached = kl_divergence(distribution(actors.policy, space), best)
    return Arrived(kl_divergence(reference, best), reached, value_error(actors, space))


def _worst(values: list[float], note: str) -> Measurement:
    worst = max(values) if all(map(math.isfinite, values)) else math.nan
    return Measurement(worst, len(values), min(values), worst, seed=SEEDS[0], note=note)
