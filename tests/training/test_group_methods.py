"""RLOO and GRPO: each arrives at the optimum of its own objective, resumes to the same bits, and adds up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.spaces import (
    PROMPT,
    Space,
    actors_for,
    covering_optimum,
    distribution,
    kl_divergence,
    optimum,
    settling,
)
from tests.helpers_training import KillAt, Killed
from tutelage.core.errors import RecipeError
from tutelage.core.method_settings import GrpoSettings, RlooSettings
from tutelage.core.recipe import parse_recipe
from tutelage.core.recorder import Recorder
from tutelage.training import grpo, rloo
from tutelage.training.online import Actors, collect
from tutelage.training.update import accumulate

Train = Callable[..., dict[str, float]]


def _actors(space: Space, seed: int = 1) -> Actors:
    actors = actors_for(space, seed)
    actors.value = None
    return actors


def _rloo(**changes: Any) -> RlooSettings:
    return RlooSettings.model_validate({"responses_per_prompt": 4, **changes})


def _grpo(**changes: Any) -> GrpoSettings:
    return GrpoSettings.model_validate({"responses_per_prompt": 4, **changes})


def _reached(space: Space, train: Train, settings: Any, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Exact log-probabilities of the reference and of the trained policy."""
    actors = _actors(space)
    reference = distribution(actors.reference, space)
    train(actors, [PROMPT] * 64, [], settings, folder=folder, recorder=Recorder("rl"), seed=3)
    return reference, distribution(actors.policy, space)


def test_the_covering_optimum_is_where_the_gradient_vanishes() -> None:
    """The gradient of E[r] - beta KL(ref || pi) in the logits is pi (r - E[r]) + beta (ref - pi)."""
    space = Space.random(vocabulary=7, length=1, beta=0.6, seed=2)
    reference = torch.randn(7, generator=torch.Generator().manual_seed(0)).log_softmax(0)
    p, q, r = covering_optimum(reference, space).exp(), reference.exp(), space.rewards
    gradient = p * (r - (p * r).sum()) + 0.6 * (q - p)
    assert gradient.abs().max() < 1e-5
    assert p.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow  # 20 s: until it has settled
def test_rloo_reaches_the_optimum_of_the_bandit(tmp_path: Path) -> None:
    space = Space.random(vocabulary=12, length=1, beta=0.5, seed=0)
    settings = _rloo(**settling(120, 256, 1e-2), objective={"kl_coefficient": 0.5, "no_end_penalty": 0})
    reference, reached = _reached(space, rloo.train_rloo, settings, tmp_path)
    best = optimum(reference, space)
    assert kl_divergence(reference, best) > 0.2  # there is something to learn
    assert kl_divergence(reached, best) < 0.01


@pytest.mark.slow  # 20 s each: until it has settled
@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_grpo_reaches_the_optimum_of_its_own_kl(tmp_path: Path, estimator: str) -> None:
    """k2 as a loss is KL(pi || ref), k3 is KL(ref || pi). Centring over K = 4 shrinks rewards by (K - 1) / K."""
    space = Space.random(vocabulary=12, length=1, beta=0.5, seed=0)
    objective = {"kl_coefficient": 0.5 * 3 / 4, "kl_estimator": estimator, "no_end_penalty": 0}
    settings = _grpo(**settling(120, 256, 1e-2), epochs=1, objective=objective)
    reference, reached = _reached(space, grpo.train_grpo, settings, tmp_path)
    mine, other = optimum(reference, space), covering_optimum(reference, space)
    if estimator == "k3":
        mine, other = other, mine
    assert kl_divergence(reached, mine) < 0.01
    assert kl_divergence(reached, other) > 0.02  # the two optima can be told apart


CASES = pytest.mark.parametrize(
    ("train", "settings"),
    [
        (
            rloo.train_rloo,
            _rloo(iterations=4, rollouts=8, minibatch=3, objective={"kl_controller": "adaptive"}),
        ),
        (
            grpo.train_grpo,
            _grpo(
                iterations=4,
                rollouts=8,
                minibatch=3,
                objective={
                    "advantages": "normalised",
                    "weights": "response",
                    "clip_high": 0.28,
                    "overlong_buffer": 2,
                    "drop_uninformative": True,
                },
            ),
        ),
    ],
    ids=["rloo", "grpo"],
)


@CASES
@pytest.mark.parametrize("stop", [1, 3])
def test_resumes_to_the_same_bits(tmp_path: Path, train: Train, settings: Any, stop: int) -> None:
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    finals: list[list[torch.Tensor]] = []
    for name, stops in (("whole", (None,)), ("killed", (stop, None))):
        folder = tmp_path / name
        folder.mkdir()
        for at in stops:
            actors = _actors(space)
            recorder = Recorder("rl", folder, [KillAt(at)] if at else [])
            try:
                train(actors, [PROMPT] * 7, [PROMPT] * 3, settings, folder=folder, recorder=recorder, seed=3)
            except Killed:
                assert at is not None
        finals.append([p.detach().clone() for p in actors.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))


@CASES
def test_micro_batches_add_up(train: Train, settings: Any) -> None:
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    gradients: list[list[torch.Tensor]] = []
    for budget in (100_000, 16):
        optim = settings.optim.model_copy(update={"micro_batch_tokens": budget})
        cut = settings.model_copy(update={"optim": optim})
        actors = _actors(space)
        rollouts = collect(actors, [PROMPT] * 3, cut, seed=5, num_samples=4)
        with torch.no_grad():  # away from the reference, so that the KL has a gradient
            for parameter in actors.parameters():
                parameter.add_(
                    0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
                )
        if train is rloo.train_rloo:
            rloo.estimate_advantages(rollouts, cut, 0.1)
            loss_of, weigh = rloo.rloo_loss(cut), None
        else:
            grpo.estimate_advantages(rollouts, cut, 3)
            loss_of, weigh = grpo.grpo_loss(cut), grpo.weigh_tokens(cut, 3)
        accumulate(actors, rollouts, list(range(12)), cut, 0, loss_of, weigh)
        gradients.append([p.grad.clone() for p in actors.parameters() if p.grad is not None])
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-4
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-6, rtol=1e-4)


def test_the_responses_to_a_prompt_stand_side_by_side_and_share_their_baseline() -> None:
    space = Space.random(vocabulary=6, length=2, beta=0.2, seed=0)
    settings = _rloo(objective={"kl_coefficient": 0.0, "no_end_penalty": 0})
    rollouts = collect(_actors(space), [(0, 1), (1, 0)], settings, seed=5, num_samples=4)
    assert [tuple(p) for p, _ in rollouts.pairs] == [(0, 1)] * 4 + [(1, 0)] * 4
    rloo.estimate_advantages(rollouts, settings, 0.0)
    scores = rollouts.scores.view(2, 4)
    expected = scores - (scores.sum(1, keepdim=True) - scores) / 3  # each less the mean of the other three
    torch.testing.assert_close(rollouts.advantages[:, 0].view(2, 4), expected)


def test_prompts_that_teach_nothing_are_left_out() -> None:
    space = Space.random(vocabulary=6, length=2, beta=0.2, seed=0)
    settings = _grpo(objective={"drop_uninformative": True, "no_end_penalty": 0})
    rollouts = collect(_actors(space), [PROMPT] * 3, settings, seed=5, num_samples=4)
    rollouts.scores = torch.tensor([1.0] * 4 + [0.0, 1.0, 0.0, 0.0] + [2.0] * 4)
    grpo.estimate_advantages(rollouts, settings, 2)
    assert rollouts.members == [4, 5, 6, 7]


def test_groups_must_be_whole() -> None:
    with pytest.raises(ValueError, match="multiple of responses_per_prompt"):
        _rloo(rollouts=10)
    with pytest.raises(RecipeError):
        parse_recipe({"name": "x", "ppo": {"rollouts": 10, "responses_per_prompt": 4}})
