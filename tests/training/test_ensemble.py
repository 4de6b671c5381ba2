"""An ensemble trained together: each member as it would be alone, on its own draw, to the same bits after a kill."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers_training import LORA, KillAt, Killed, tiny_trunk
from tests.training.test_reward_model import planted
from tutelage.core.recorder import Recorder
from tutelage.core.settings import EnsembleSettings, OptimSettings, RewardSettings
from tutelage.models.ensemble import RewardEnsemble, new_ensemble
from tutelage.training.ensemble import accumulate, draws, measure_members, train_ensemble
from tutelage.training.measure import scored
from tutelage.training.ranked import RankedExample, ranked_examples
from tutelage.training.reward_model import prompt_loss, train_reward_model


def settings(members: int = 2, **ensemble: object) -> RewardSettings:
    how = EnsembleSettings.model_validate({"members": members, **ensemble})
    optim = OptimSettings(learning_rate=1e-2)
    return RewardSettings(optim=optim, epochs=4, batch=4, upper_layers=1, checkpoint_every=3, ensemble=how)


def fresh(folder: Path, members: int = 2) -> RewardEnsemble:
    how = EnsembleSettings(members=members)
    return new_ensemble(tiny_trunk(folder), "reward", LORA, 1, how, seed=0)


def examples(model: RewardEnsemble, count: int, start: int = 0) -> list[RankedExample]:
    return ranked_examples(*planted(count, start), model.trunk.contract)


def parameters(model: RewardEnsemble) -> list[torch.Tensor]:
    members = range(len(model.members))
    return [p for i in members for p in [*model.own_parameters(i), model.members[i].head.weight]]


def unsure(model: RewardEnsemble) -> list[RankedExample]:
    """Held-out prompts of which some raters said the opposite: there is a temperature to find."""
    clear, turned = examples(model, 8, start=100), examples(model, 2, start=200)
    back = [tuple((b, a, preference, weight) for a, b, preference, weight in e.pairs) for e in turned]
    return [*clear, *(replace(e, pairs=pairs) for e, pairs in zip(turned, back, strict=True))]


def run(model: RewardEnsemble, how: RewardSettings, folder: Path, recorder: Recorder | None = None) -> dict:
    train, held_out = examples(model, 16), unsure(model)
    recorder = recorder or Recorder("reward", folder)
    return train_ensemble(model, train, held_out, how, folder=folder, recorder=recorder, seed=1)


@pytest.mark.parametrize("budget", [10_000, 200, 60])
def test_the_gradient_is_that_of_members_apart(tiny_folder: Path, budget: int) -> None:
    """Whatever is skipped and however it is cut: sum over prompts of weight times loss, over their number."""
    how = settings().model_copy(update={"optim": OptimSettings(micro_batch_tokens=budget)})
    model = fresh(tiny_folder)
    batch = examples(model, 5)
    weights = torch.tensor([[1.0, 0.0, 2.0, 0.0, 1.0], [0.0, 3.0, 0.0, 0.0, 1.0]])
    with torch.no_grad():
        for parameter in parameters(model):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    seen = accumulate(model, batch, weights, how, 0)
    ours = [p.grad.clone() for p in parameters(model)]
    losses = []
    for one, row in zip(model.members, weights, strict=True):
        each = [w * prompt_loss(one.raw(e.sequences), e, how) for w, e in zip(row, batch, strict=True)]
        losses.append(torch.stack(each).sum() / 5)
    theirs = torch.autograd.grad(torch.stack(losses).sum(), parameters(model))
    assert seen["loss"] == pytest.approx(float(sum(losses).detach()) / 2, abs=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_together_is_one_by_one(tiny_folder: Path, tmp_path: Path) -> None:
    """On the same prompts and with no bound on the gradient, nothing of one member reaches another."""
    how = settings(bootstrap=False)
    how = how.model_copy(update={"optim": how.optim.model_copy(update={"max_grad_norm": 1e9})})
    together, apart = fresh(tiny_folder), fresh(tiny_folder)
    folders = [tmp_path / str(i) for i in range(3)]
    for folder in folders:
        folder.mkdir()
    run(together, how, folders[2])
    for one, folder in zip(apart.members, folders[:2], strict=True):
        where = {"folder": folder, "recorder": Recorder("reward", folder), "seed": 1}
        train_reward_model(one, examples(apart, 16), unsure(apart), how, **where)
    for one, other in zip(parameters(together), parameters(apart), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    for one, other in zip(together.members, apart.members, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-3)
        assert one.temperature == pytest.approx(other.temperature, rel=1e-2)
        assert 0.1 < one.temperature < 10


def test_finds_a_planted_preference_and_says_how_members_differ(tiny_folder: Path, tmp_path: Path) -> None:
    model = fresh(tiny_folder, members=3)
    measured = run(model, settings(3), tmp_path)
    assert measured["accuracy"]["value"] == pytest.approx(0.8, abs=0.05)  # 2 of 10 prompts say the opposite
    found = measured["ensemble"]
    assert found["members"] == 3
    assert 0.5 < found["correlation"] < 0.9999
    assert found["member_accuracy"] == pytest.approx(0.8, abs=0.05)
    together = torch.cat([scores for _, scores in scored(model, examples(model, 16))])
    assert model.normalised(together).mean() == pytest.approx(0.0, abs=1e-4)
    each = model.member_scores([pair for e in examples(model, 16) for pair in e.sequences])
    assert each.mean(1).tolist() == pytest.approx([0.0] * 3, abs=1e-4)
    assert each.std(1).tolist() == pytest.approx([1.0] * 3, abs=1e-4)


def test_nothing_held_out_is_no_error(tiny_folder: Path) -> None:
    assert measure_members(fresh(tiny_folder), []) == {"members": 2}


def test_resumes_to_the_same_bits(tiny_folder: Path, tmp_path: Path) -> None:
    finals = []
    for name, stops in (("whole", (None,)), ("killed", (5, None))):
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            model = fresh(tiny_folder)
            if stop:
                with pytest.raises(Killed):
                    run(model, settings(), folder, Recorder("reward", folder, [KillAt(stop)]))
            else:
                run(model, settings(), folder)
        finals.append([p.detach().clone() for p in parameters(model)])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))


def test_draws_are_bootstrap_samples() -> None:
    drawn = draws(4, 1000, seed=3)
    assert drawn.sum(1).tolist() == [1000.0] * 4
    # (1 - 1/n)^n, near 1/e, are not drawn; deviation of the share about 0.01
    assert (drawn == 0).float().mean(1).tolist() == pytest.approx([math.exp(-1)] * 4, abs=0.05)
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(draws(2, 1000, seed=3), drawn[:2])
    assert not torch.equal(draws(2, 1000, seed=4), drawn[:2])
