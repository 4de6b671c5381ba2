"""PPO: arrives at the known optimum, resumes to the same bits, and does not care how a batch is cut."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from benchmarks.spaces import (
    PROMPT,
    Space,
    actors_for,
    distribution,
    exact_values,
    kl_divergence,
    optimum,
    pretraining_optimum,
    settings_for,
    value_error,
)
from tests.helpers_training import KillAt, Killed
from tutelage.core.errors import DataError
from tutelage.core.method_settings import PpoSettings
from tutelage.core.recorder import Recorder, read_metrics
from tutelage.objectives.kl import TargetKl
from tutelage.training.online import collect, make_controller, pick_prompts, summarise
from tutelage.training.ppo import estimate_advantages, others_mean, ppo_loss, pretraining_mix, train_ppo
from tutelage.training.sft import accumulate as accumulate_sft
from tutelage.training.sft import trainable
from tutelage.training.update import accumulate


@pytest.mark.slow  # 20 s each: PPO until it has settled
@pytest.mark.parametrize("group", [1, 4])
def test_one_token_bandit_reaches_the_optimum(tmp_path: Path, group: int) -> None:
    space = Space.random(vocabulary=12, length=1, beta=0.5, seed=0)
    actors = actors_for(space, seed=1)
    reference = distribution(actors.reference, space)
    best = optimum(reference, space)
    assert kl_divergence(reference, best) > 0.2  # there is something to learn
    settings = settings_for(space, iterations=80, rollouts=256, rate=4e-3)
    settings = settings.model_copy(update={"responses_per_prompt": group})
    train_ppo(actors, [PROMPT] * 256, [], settings, folder=tmp_path, recorder=Recorder("ppo"), seed=3)
    assert kl_divergence(distribution(actors.policy, space), best) < 0.01
    if group == 1:
        assert value_error(actors, space) < 0.05


def test_a_score_is_told_against_the_others_of_its_prompt() -> None:
    scores = torch.tensor([1.0, 2.0, 6.0, 5.0, 5.0, 5.0])
    assert others_mean(scores, 3).tolist() == [4.0, 3.5, 1.5, 5.0, 5.0, 5.0]
    assert others_mean(scores, 1).tolist() == [0.0] * 6


def test_groups_must_be_whole() -> None:
    with pytest.raises(ValidationError, match="multiple of responses_per_prompt"):
        PpoSettings(rollouts=10, responses_per_prompt=4)


def test_exact_values_by_brute_force() -> None:
    """The exact values against a plain walk over the tree."""
    space = Space.random(vocabulary=3, length=2, beta=0.7, seed=4)
    generator = torch.Generator().manual_seed(0)
    policy = torch.randn(9, generator=generator).log_softmax(0)
    reference = torch.randn(9, generator=generator).log_softmax(0)
    p, q = policy.exp().reshape(3, 3), reference.exp().reshape(3, 3)
    second = [
        sum(
            p[a, b]
            / p[a].sum()
            * (space.rewards[a, b] - 0.7 * ((p[a, b] / p[a].sum()) / (q[a, b] / q[a].sum())).log())
            for b in range(3)
        )
        for a in range(3)
    ]
    first = sum(p[a].sum() * (second[a] - 0.7 * (p[a].sum() / q[a].sum()).log()) for a in range(3))
    values = exact_values(policy, reference, space)
    assert float(values[0]) == pytest.approx(float(first), abs=1e-5)
    assert values[1].tolist() == pytest.approx([float(x) for x in second], abs=1e-5)


def _settings(**changes: object) -> PpoSettings:
    base = {"iterations": 5, "rollouts": 10, "minibatch": 4, "epochs": 2, "optim": {"learning_rate": 1e-2}}
    return PpoSettings.model_validate({**base, "objective": {"kl_controller": "adaptive"}, **changes})


@pytest.mark.parametrize("stop", [1, 3])
def test_resumes_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    finals, logs = [], []
    for name, stops in (("whole", (None,)), ("killed", (stop, None))):
        folder = tmp_path / name
        folder.mkdir()
        for at in stops:
            actors = actors_for(space, seed=1)
            recorder = Recorder("ppo", folder, [KillAt(at)] if at else [])
            run = lambda a, r, f: train_ppo(  # noqa: E731
                a, [PROMPT] * 7, [PROMPT] * 3, _settings(), folder=f, recorder=r, seed=3
            )
            if at:
                with pytest.raises(Killed):
                    run(actors, recorder, folder)
            else:
                run(actors, recorder, folder)
        finals.append([p.detach().clone() for p in actors.parameters()])
        logs.append(
            [
                {k: v for k, v in m.items() if k != "tokens_per_second"}
                for m in read_metrics(folder / "metrics.jsonl")
            ]
        )
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
    assert logs[0] == logs[1]
    assert len(logs[0]) == 5


def test_micro_batches_add_up() -> None:
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    gradients, diagnostics = [], []
    for budget in (100_000, 16):
        settings = _settings(optim={"learning_rate": 1e-2, "micro_batch_tokens": budget})
        actors = actors_for(space, seed=1)
        rollouts = collect(actors, [PROMPT] * 10, settings, seed=5)
        estimate_advantages(rollouts, settings, 0.1)
        diagnostics.append(accumulate(actors, rollouts, list(range(10)), settings, 0, ppo_loss(settings)))
        gradients.append([p.grad.clone() for p in actors.parameters() if p.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-6, rtol=1e-4) for a, b in zip(*gradients, strict=True))
    for key, value in diagnostics[0].items():
        assert diagnostics[1][key] == pytest.approx(value, abs=1e-5)


def test_first_update_is_on_policy() -> None:
    """Before anything has moved: ratio 1, nothing clipped, no KL to itself or the reference."""
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    actors, settings = actors_for(space, seed=1), _settings()
    rollouts = collect(actors, [PROMPT] * 10, settings, seed=5)
    estimate_advantages(rollouts, settings, 0.1)
    seen = accumulate(actors, rollouts, list(range(10)), settings, 0, ppo_loss(settings))
    assert seen["ratio_mean"] == pytest.approx(1.0, abs=1e-5)
    assert seen["clip_fraction"] == 0.0
    told = summarise(rollouts, 0.1)
    assert told["kl_k1"] == pytest.approx(0.0, abs=1e-5)
    assert told["kl_k3"] == pytest.approx(0.0, abs=1e-5)
    assert told["sampler_gap"] < 1e-4
    assert told["response_length"] == 3.0


def test_value_loss_reaches_the_trunk_only_if_asked() -> None:
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    for trains in (False, True):
        settings = _settings()
        actors = actors_for(space, seed=1)
        actors.value_trains_trunk = trains
        with torch.no_grad():
            actors.value.weight.normal_(generator=torch.Generator().manual_seed(2))
        rollouts = collect(actors, [PROMPT] * 10, settings, seed=5)
        estimate_advantages(rollouts, settings, 0.1)
        rollouts.advantages = torch.zeros_like(rollouts.advantages)  # leaves the value loss alone
        accumulate(actors, rollouts, list(range(10)), settings, 0, ppo_loss(settings))
        moved = sum(float(p.grad.abs().sum()) for p in trainable(actors.policy, None) if p.grad is not None)
        assert (moved > 1e-6) is trains


def test_while_the_value_head_warms_up_the_policy_stays(tmp_path: Path) -> None:
    space = Space.random(vocabulary=6, length=2, beta=0.2, seed=0)
    moved: list[bool] = []
    for warmup in (5, 4):
        actors = actors_for(space, seed=1)
        actors.value_trains_trunk = False
        before = distribution(actors.policy, space)
        settings = _settings(value_warmup=warmup)
        train_ppo(actors, [PROMPT] * 4, [], settings, folder=tmp_path, recorder=Recorder("ppo"), seed=3)
        moved.append(not torch.equal(distribution(actors.policy, space), before))
        assert actors.value is not None and float(actors.value.weight.detach().abs().max()) > 0.01
        (tmp_path / "checkpoint.pt").unlink()
    assert moved == [False, True]


def test_every_prompt_has_its_turn() -> None:
    prompts = [(i,) for i in range(7)]
    seen = [p for iteration in range(7) for p in pick_prompts(prompts, 3, seed=1, iteration=iteration)]
    assert all(seen.count(p) == 3 for p in prompts)


def test_the_reference_never_moves(tmp_path: Path) -> None:
    space = Space.random(vocabulary=6, length=2, beta=0.2, seed=0)
    actors = actors_for(space, seed=1)
    before = copy.deepcopy(actors.reference.model.state_dict())
    train_ppo(actors, [PROMPT] * 4, [], _settings(), folder=tmp_path, recorder=Recorder("ppo"), seed=3)
    assert all(torch.equal(before[k], v) for k, v in actors.reference.model.state_dict().items())


@pytest.mark.slow  # 20 s: PPO until it has settled
def test_the_pretraining_mix_moves_the_optimum_as_it_should(tmp_path: Path) -> None:
    """With all responses as rows: the policy of most E[r] - beta KL + g E[log pi] over rows."""
    space = Space.random(vocabulary=12, length=1, beta=0.5, seed=0)
    actors = actors_for(space, seed=1)
    reference = distribution(actors.reference, space)
    base = settings_for(space, iterations=80, rollouts=252, rate=4e-3)
    objective = {"whiten_advantages": False, "pretraining_coefficient": 0.3}
    settings = base.model_copy(update={"objective": base.objective.model_copy(update=objective)})
    where: dict[str, Any] = {"folder": tmp_path, "recorder": Recorder("ppo"), "seed": 3}
    rows = [(PROMPT, response) for response in space.responses]
    train_ppo(actors, [PROMPT] * 256, [], settings, **where, pretraining=rows)
    reached = distribution(actors.policy, space)
    assert kl_divergence(reached, pretraining_optimum(reference, space, 0.3)) < 0.01
    assert kl_divergence(reached, optimum(reference, space)) > 0.05


def test_the_pretraining_optimum_is_where_the_gradient_vanishes() -> None:
    """In the logits it is pi (a - E[a]) + g (u - pi), a = r - beta log(pi / ref), u even."""
    space = Space.random(vocabulary=7, length=1, beta=0.6, seed=2)
    reference = torch.randn(7, generator=torch.Generator().manual_seed(0)).log_softmax(0)
    p = pretraining_optimum(reference, space, 0.4).exp()
    a = space.rewards - 0.6 * (p.log() - reference)
    gradient = p * (a - (p * a).sum()) + 0.4 * (1 / 7 - p)
    assert gradient.abs().max() < 1e-5


def test_the_pretraining_mix_adds_its_share_of_the_gradient() -> None:
    """With a coefficient of 0.3: what is added is 0.3 of the gradient of fine-tuning on the same rows."""
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    rows = [((0, 1), (2, 3)), ((1,), (4, 5, 0)), ((3, 3), (1,))]
    settings = _settings(minibatch=3, objective={"pretraining_coefficient": 0.3})
    mixed, alone = actors_for(space, seed=1), actors_for(space, seed=1)
    beside = pretraining_mix(mixed, rows, settings, seed=4)
    assert beside is not None
    seen = beside(0)["pretraining_loss"]
    loss = accumulate_sft(alone.policy, rows, 10**6, 0)
    assert seen == pytest.approx(loss, abs=1e-5)
    for a, b in zip(trainable(mixed.policy, None), trainable(alone.policy, None), strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, 0.3 * b.grad, atol=1e-6, rtol=1e-4)


def test_the_pretraining_mix_resumes_and_wants_rows(tmp_path: Path) -> None:
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    settings = _settings(iterations=3, objective={"pretraining_coefficient": 0.3})
    rows = [((0, 1), (i % 6, 3)) for i in range(5)]
    finals = []
    for name, stops in (("whole", (None,)), ("killed", (2, None))):
        folder = tmp_path / name
        folder.mkdir()
        for at in stops:
            actors = actors_for(space, seed=1)
            where: dict[str, Any] = {"folder": folder, "seed": 3}
            where["recorder"] = Recorder("ppo", folder, [KillAt(at)] if at else [])
            if at:
                with pytest.raises(Killed):
                    train_ppo(actors, [PROMPT] * 7, [], settings, **where, pretraining=rows)
            else:
                train_ppo(actors, [PROMPT] * 7, [], settings, **where, pretraining=rows)
        finals.append([p.detach().clone() for p in actors.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
    with pytest.raises(DataError, match=r"pretraining_coefficient is 0\.3.*data\.demonstrations"):
        train_ppo(actors, [PROMPT] * 7, [], settings, **where)


@pytest.mark.parametrize("stop", [None, 2])
def test_a_run_ends_where_its_kl_has_passed_the_limit(tmp_path: Path, stop: int | None) -> None:
    """And it stays ended when it is called again, whether it was killed on the way or not."""
    space = Space.random(vocabulary=6, length=3, beta=0.2, seed=0)
    settings = _settings(iterations=30, stop_kl=0.5, evaluate_every=100)
    for at in (stop, None, None):
        actors = actors_for(space, seed=1)
        recorder = Recorder("ppo", tmp_path, [KillAt(at)] if at else [])
        try:
            train_ppo(actors, [PROMPT] * 7, [PROMPT], settings, folder=tmp_path, recorder=recorder, seed=3)
        except Killed:
            assert at is not None
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert len(lines) < 30
    assert lines[-1]["kl_k1"] > 0.5 and all(line["kl_k1"] <= 0.5 for line in lines[:-1])
    assert "held_out_reward" in lines[-1]  # the last look is not missed
    recorded = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert recorded["iteration"] == len(lines)


def test_a_controller_that_multiplies_cannot_start_at_nothing() -> None:
    for controller in ("adaptive", "target"):
        with pytest.raises(ValueError, match="start it above 0"):
            _settings(objective={"kl_controller": controller, "kl_coefficient": 0})
    assert make_controller(_settings(objective={"kl_controller": "target"}).objective) == TargetKl(
        0.1, 6.0, 0.05
    )
