"""A perspective kept up by a multiplier: by hand, at the known optimum of a bandit, over a kill, and refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.spaces import PROMPT, Space, actors_for, distribution, kl_divergence, settling
from tests.helpers_training import KillAt, Killed
from tutelage.core.errors import RecipeError
from tutelage.core.method_settings import ConstraintSettings, RlooSettings
from tutelage.core.recipe import parse_recipe
from tutelage.core.recorder import Recorder
from tutelage.models.scoring import Pair
from tutelage.training.constrained import ConstrainedScore
from tutelage.training.online import Actors
from tutelage.training.rloo import train_rloo

BETA, LEAST = 0.3, 0.5
SPACE = Space.random(vocabulary=12, length=1, beta=BETA, seed=0)
KEPT = torch.randn(12, generator=torch.Generator().manual_seed(4))
"""What each of the twelve responses is worth to the constrained perspective."""


def constrained(**changes: float) -> ConstrainedScore:
    def parts(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        return SPACE.score(pairs), torch.stack([KEPT[response[0]] for _, response in pairs])[None]

    settings = ConstraintSettings.model_validate({"at_least": LEAST, "rate": 0.3, **changes})
    return ConstrainedScore(parts, {"harmless": settings})


def actors_with(score: ConstrainedScore) -> Actors:
    actors = actors_for(SPACE, 1)
    actors.value, actors.score = None, score
    return actors


def rloo(iterations: int, rollouts: int, rate: float) -> RlooSettings:
    objective = {"kl_coefficient": BETA, "no_end_penalty": 0.0}
    return RlooSettings.model_validate(
        {**settling(iterations, rollouts, rate), "responses_per_prompt": 4, "objective": objective}
    )


def constrained_optimum(reference: Tensor) -> tuple[float, Tensor]:
    """lambda, and log pi proportional to pi_ref exp((r + lambda k) / ((1 + lambda) beta)), with E[k] = LEAST."""

    def at(multiplier: float) -> Tensor:
        combined = (SPACE.rewards + multiplier * KEPT) / (1 + multiplier)
        return (reference + combined / BETA).log_softmax(0)

    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float((at(middle).exp() * KEPT).sum()) < LEAST else (low, middle)
    return high, at(high)


def test_two_constraints_by_hand() -> None:
    def parts(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        return torch.tensor([1.0, 2.0]), torch.tensor([[0.5, -1.0], [4.0, 0.0]])

    named = {"a": ConstraintSettings(start=1.0), "b": ConstraintSettings(start=2.0, at_least=1.0)}
    score = ConstrainedScore(parts, named)
    reward, kept = score.judge([((0,), (1,)), ((0,), (2,))])
    # (r + 1 a + 2 b) / (1 + 1 + 2)
    assert reward.tolist() == pytest.approx([(1 + 0.5 + 8) / 4, (2 - 1) / 4])
    said = score.update(kept)
    assert said == pytest.approx({"kept_a": -0.25, "multiplier_a": 1, "kept_b": 2, "multiplier_b": 2})
    # log lambda moves by rate lambda (at_least - mean)
    assert score.multipliers["a"].multiplier == pytest.approx(math.exp(0.1 * 0.25))
    assert score.multipliers["b"].multiplier == pytest.approx(2 * math.exp(0.1 * 2 * (1 - 2)))


@pytest.mark.slow  # 25 s: until it has settled
def test_it_arrives_at_the_constrained_optimum(tmp_path: Path) -> None:
    score = constrained()
    actors = actors_with(score)
    reference = distribution(actors.reference, SPACE)
    multiplier, best = constrained_optimum(reference)
    free = (reference + SPACE.rewards / BETA).log_softmax(0)
    assert float((free.exp() * KEPT).sum()) < LEAST - 0.2 and multiplier > 0.1  # the constraint binds
    train_rloo(
        actors, [PROMPT] * 64, [], rloo(200, 256, 1e-2), folder=tmp_path, recorder=Recorder("rl"), seed=3
    )
    reached = distribution(actors.policy, SPACE)
    assert float((reached.exp() * KEPT).sum()) == pytest.approx(LEAST, abs=0.05)
    assert score.multipliers["harmless"].multiplier == pytest.approx(multiplier, rel=0.2)
    assert kl_divergence(reached, best) < 0.01 < kl_divergence(free, best)


def test_a_killed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    finals: list[list[Tensor]] = []
    settings = rloo(4, 16, 1e-2).model_copy(update={"checkpoint_every": 1})
    for place, stops in enumerate([[None], [2, None]]):
        folder = tmp_path / str(place)
        folder.mkdir()
        for at in stops:
            score = constrained()
            actors = actors_with(score)
            recorder = Recorder("rl", folder, [KillAt(at)] if at else [])
            try:
                train_rloo(
                    actors, [PROMPT] * 7, [PROMPT] * 3, settings, folder=folder, recorder=recorder, seed=3
                )
            except Killed:
                assert at is not None
        multiplier = torch.tensor(score.multipliers["harmless"].multiplier)
        finals.append([multiplier, *(p.detach().clone() for p in actors.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
    assert finals[0][0] != 1.0


HEADS = {"helpful": {"categories": ["helpful"]}, "harmless": {"categories": ["refusal"]}}


@pytest.mark.parametrize(
    ("reward", "constraints", "said"),
    [
        ({}, {"harmless": {}}, "reward.perspectives, which has none"),
        ({"perspectives": HEADS}, {"kind": {}}, "one of helpful, harmless"),
        ({"perspectives": HEADS}, {"helpful": {}, "harmless": {}}, "left free"),
        ({"perspectives": HEADS, "length_debias": True}, {"harmless": {}}, "length_debias=false"),
        ({"perspectives": HEADS}, {"harmless": {"start": 20}}, "above the ceiling"),
    ],
)
def test_constraints_that_cannot_be_kept_are_refused(reward: dict, constraints: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"name": "x", "reward": reward, "ppo": {"constraints": constraints}}, "recipe")
