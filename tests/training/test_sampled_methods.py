"""Rejection sampling and online DPO: what they keep and learn, where they arrive, and that they resume exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.spaces import (
    PROMPT,
    Space,
    actors_for,
    best_of_n_optimum,
    distribution,
    kl_divergence,
    optimum,
    settling,
)
from tests.helpers_training import KillAt, Killed
from tutelage.core.errors import RecipeError
from tutelage.core.method_settings import OnlineDpoSettings, OnlineSettings, RejectionSettings
from tutelage.core.recipe import parse_recipe
from tutelage.core.recorder import Recorder, read_metrics
from tutelage.objectives.direct import dpo_loss
from tutelage.training.online import Actors, collect
from tutelage.training.online_dpo import OnlinePair, label, learn_pairs, make_pairs, train_online_dpo
from tutelage.training.rejection import keep_best, likelihood_loss, train_rejection
from tutelage.training.sft import mean_nll
from tutelage.training.update import accumulate

SPACE = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
SMALL = {"iterations": 4, "rollouts": 12, "minibatch": 4, "optim": {"learning_rate": 1e-2}}


def _actors(space: Space = SPACE) -> Actors:
    actors = actors_for(space, seed=1)
    actors.value = None
    return actors


def _rejection(**changes: Any) -> RejectionSettings:
    return RejectionSettings.model_validate({"responses_per_prompt": 4, "no_end_penalty": 0, **changes})


def _online_dpo(**changes: Any) -> OnlineDpoSettings:
    return OnlineDpoSettings.model_validate({"responses_per_prompt": 4, "no_end_penalty": 0, **changes})


def _run(train: Any, settings: OnlineSettings, folder: Path, actors: Actors | None = None) -> Actors:
    actors = actors or _actors()
    recorder = Recorder("online", folder)
    train(actors, [PROMPT] * 7, [PROMPT] * 3, settings, folder=folder, recorder=recorder, seed=3)
    return actors


def _moved(actors: Actors) -> Actors:
    """The policy away from where it started, so that ratios and KL are not trivial."""
    with torch.no_grad():
        for parameter in actors.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return actors


@pytest.mark.slow  # 20 s: learnt to the end, twice
def test_two_rounds_of_the_best_of_two_end_at_best_of_four(tmp_path: Path) -> None:
    space = Space.random(vocabulary=12, length=1, beta=0.5, seed=0)
    settings = _rejection(**settling(2, 2048, 1e-2), responses_per_prompt=2, epochs=60)
    actors = _run(train_rejection, settings, tmp_path, _actors(space))
    reference, reached = distribution(actors.reference, space), distribution(actors.policy, space)
    assert kl_divergence(reached, best_of_n_optimum(reference, space, 4)) < 0.02
    assert kl_divergence(reached, best_of_n_optimum(reference, space, 2)) > 0.1


@pytest.mark.slow  # 15 s each: until it has settled
@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_online_dpo_arrives_at_the_optimum_if_labels_are_bradley_terry(tmp_path: Path, labels: str) -> None:
    """With hard labels it goes on to the highest reward."""
    space = Space.random(vocabulary=12, length=1, beta=0.5, seed=0)
    settings = _online_dpo(**settling(100, 128, 1e-2), beta=0.5, labels=labels)
    actors = _run(train_online_dpo, settings, tmp_path, _actors(space))
    reference, reached = distribution(actors.reference, space), distribution(actors.policy, space)
    best = optimum(reference, space)
    if labels == "soft":
        assert kl_divergence(reference, best) > 0.2  # there is something to learn
        assert kl_divergence(reached, best) < 0.01
    else:
        assert int(reached.argmax()) == int(space.rewards.argmax())
        assert float(reached.max().exp()) > 0.9 > 0.6 > float(best.max().exp())


def test_the_best_response_to_each_prompt_is_kept_of_the_best_prompts() -> None:
    rollouts = collect(_actors(), [(0, 1), (1, 0), (2, 3)], _rejection(rollouts=12), 5, 4)
    rollouts.scores = torch.tensor([0.0, 3.0, 1.0, 3.0, -1.0, -2.0, -1.5, -3.0, 0.0, 0.5, 2.0, 1.0])
    told = keep_best(rollouts, _rejection(rollouts=12))
    assert rollouts.members == [1, 4, 10]  # of the two at 3.0 the first
    assert told == pytest.approx({"best_reward": 4 / 3, "kept_reward": 4 / 3, "kept_share": 1.0})
    keep_best(rollouts, _rejection(rollouts=12, top_share=0.6))  # 0.6 of 3 prompts: 2
    assert rollouts.members == [1, 10]
    keep_best(rollouts, _rejection(rollouts=12, min_score=2.5))
    assert rollouts.members == [1]
    told = keep_best(rollouts, _rejection(rollouts=12, min_score=9.0))
    assert rollouts.members == [] and told["kept_share"] == 0.0


def test_a_response_cut_at_its_limit_is_charged_before_the_best_is_chosen() -> None:
    rollouts = collect(_actors(), [PROMPT], _rejection(), 5, 4)
    rollouts.scores = torch.tensor([1.0, 1.5, 0.0, 0.0])
    rollouts.finished = torch.tensor([True, False, True, True])
    keep_best(rollouts, _rejection(no_end_penalty=1.0))
    assert rollouts.members == [0]
    (pair,) = make_pairs(rollouts, _online_dpo(no_end_penalty=2.0), 0)
    assert (pair.best, pair.worst) == (0, 1)


def test_what_is_kept_is_learnt_as_in_fine_tuning() -> None:
    actors, settings = _actors(), _rejection(rollouts=12)
    rollouts = collect(actors, [PROMPT] * 3, settings, 5, 4)
    keep_best(rollouts, settings)
    seen = accumulate(actors, rollouts, rollouts.members, settings, 0, likelihood_loss)
    expected = mean_nll(actors.policy, [rollouts.pairs[i] for i in rollouts.members])
    assert seen["train_loss"] == pytest.approx(expected, abs=1e-5)
    assert seen["ratio_mean"] == pytest.approx(1.0, abs=1e-5)


def test_an_iteration_that_keeps_nothing_changes_nothing(tmp_path: Path) -> None:
    actors = _run(train_rejection, _rejection(**SMALL, min_score=1e6), tmp_path)
    assert torch.equal(distribution(actors.policy, SPACE), distribution(actors.reference, SPACE))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [(m["updates"], m["kept_share"]) for m in lines] == [(0.0, 0.0)] * 4


def test_labels_by_hand() -> None:
    ahead = torch.tensor([2.0, 0.0])
    assert label(ahead, "hard", 0).tolist() == [1.0, 0.5]
    assert label(ahead, "soft", 0).tolist() == pytest.approx([0.880797, 0.5])  # 1 / (1 + e^-2)
    drawn = label(torch.full((20_000,), 2.0), "drawn", 0)
    assert set(drawn.tolist()) == {0.0, 1.0}
    assert float(drawn.mean()) == pytest.approx(0.880797, abs=0.01)
    assert torch.equal(drawn, label(torch.full((20_000,), 2.0), "drawn", 0))
    assert not torch.equal(drawn, label(torch.full((20_000,), 2.0), "drawn", 1))


def test_the_best_and_the_worst_are_a_pair_even_where_all_are_equal() -> None:
    rollouts = collect(_actors(), [PROMPT] * 2, _online_dpo(), 5, 4)
    rollouts.scores = torch.tensor([0.0, 3.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    pairs = make_pairs(rollouts, _online_dpo(labels="hard"), 0)
    assert pairs == [OnlinePair(1, 3, 1.0), OnlinePair(4, 7, 0.5)]


def test_the_loss_of_pairs_is_dpo() -> None:
    """Against `dpo_loss` on sums of log-probabilities, as it is and turned round, weighed by the label."""
    actors, settings = _moved(_actors()), _online_dpo(beta=0.3)
    rollouts = collect(actors, [PROMPT] * 2, settings, 5, 4)
    pairs = [OnlinePair(0, 2, 0.8), OnlinePair(5, 6, 1.0)]
    seen = learn_pairs(actors, rollouts, settings, pairs, 0)
    mine, theirs = rollouts.logprobs.sum(1), rollouts.reference_logprobs.sum(1)
    one = lambda a, b: float(dpo_loss(mine[[a]], mine[[b]], theirs[[a]], theirs[[b]], 0.3).loss)  # noqa: E731
    expected = (0.8 * one(0, 2) + 0.2 * one(2, 0) + one(5, 6)) / 2
    assert seen["loss"] == pytest.approx(expected, abs=1e-5)
    rewards = 0.3 * (mine - theirs)
    margin = (0.6 * float(rewards[0] - rewards[2]) + float(rewards[5] - rewards[6])) / 2
    assert seen["reward_margin"] == pytest.approx(margin, abs=1e-5)
    assert abs(margin) > 1e-3


@pytest.mark.parametrize("method", ["rejection", "online_dpo"])
def test_micro_batches_add_up(method: str) -> None:
    gradients: list[list[torch.Tensor]] = []
    said: list[dict[str, float]] = []
    for budget in (10**6, 16):
        optim = {"micro_batch_tokens": budget}
        actors = _actors()
        if method == "rejection":
            settings: Any = _rejection(optim=optim)
            rollouts = collect(actors, [PROMPT] * 4, settings, 5, 4)
            keep_best(rollouts, settings)
            _moved(actors)
            seen = accumulate(actors, rollouts, rollouts.members, settings, 0, likelihood_loss)
        else:
            settings = _online_dpo(optim=optim, labels="soft")
            rollouts = collect(actors, [PROMPT] * 4, settings, 5, 4)
            pairs = make_pairs(rollouts, settings, 0)
            seen = learn_pairs(_moved(actors), rollouts, settings, pairs, 0)
        said.append(seen)
        gradients.append([p.grad.clone() for p in actors.parameters() if p.grad is not None])
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-3
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-6, rtol=1e-4)
    assert said[0] == pytest.approx(said[1], abs=1e-5)


CASES = pytest.mark.parametrize(
    ("train", "settings"),
    [
        (train_rejection, _rejection(**SMALL, epochs=2, top_share=0.7)),
        (train_online_dpo, _online_dpo(**SMALL, epochs=2, labels="drawn")),
    ],
    ids=["rejection", "online_dpo"],
)


@CASES
@pytest.mark.parametrize("stop", [1, 3])
def test_resumes_to_the_same_bits(tmp_path: Path, train: Any, settings: Any, stop: int) -> None:
    finals: list[list[torch.Tensor]] = []
    logs: list[list[dict[str, Any]]] = []
    for name, stops in (("whole", (None,)), ("killed", (stop, None))):
        folder = tmp_path / name
        folder.mkdir()
        for at in stops:
            actors = _actors()
            recorder = Recorder("online", folder, [KillAt(at)] if at else [])
            try:
                train(actors, [PROMPT] * 7, [PROMPT] * 3, settings, folder=folder, recorder=recorder, seed=3)
            except Killed:
                assert at is not None
        finals.append([p.detach().clone() for p in actors.parameters()])
        lines = read_metrics(folder / "metrics.jsonl")
        logs.append([{k: v for k, v in m.items() if k != "tokens_per_second"} for m in lines])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
    assert logs[0] == logs[1] and len(logs[0]) == 4


@CASES
def test_a_step_for_each_minibatch_of_what_is_learnt(tmp_path: Path, train: Any, settings: Any) -> None:
    """12 responses, 4 to a prompt: of rejection's 3 best 0.7 are 2, of online DPO's 3 pairs 6, by 4 a step."""
    _run(train, settings.model_copy(update={"max_update_kl": None}), tmp_path)
    steps = 1 if train is train_rejection else 2
    assert settings.minibatches == steps
    assert all(m["updates"] == 2 * steps for m in read_metrics(tmp_path / "metrics.jsonl"))


def test_a_pair_is_never_cut_by_a_minibatch() -> None:
    with pytest.raises(ValueError, match="must be even"):
        _online_dpo(minibatch=3)
    with pytest.raises(RecipeError):
        parse_recipe({"name": "x", "ppo": {"labels": "soft"}})
