"""An ensemble is its members: the same scores and gradients as apart, saved and opened as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.models.helpers import add_random_adapter, sequences
from tutelage.core.errors import ModelError
from tutelage.core.settings import EnsembleSettings, LoraSettings, ModelSettings, TokenSettings
from tutelage.models.ensemble import RewardEnsemble, new_ensemble
from tutelage.models.reward import RewardModel
from tutelage.models.roles import open_reward_model
from tutelage.models.scoring import Pair
from tutelage.models.trunk import Trunk

LORA = LoraSettings(rank=4, alpha=8)


def pairs() -> list[Pair]:
    prompts, answers = sequences((15, 30, 9)), sequences((8, 1, 40, 3, 12, 6), seed=5)
    return [(prompts[i // 2], answer) for i, answer in enumerate(answers)]


def ensemble(
    trunk: Trunk, upper: int | None = 1, start: str | None = None, **settings: object
) -> RewardEnsemble:
    """Members that differ: adapters and heads are random where they are the members' own."""
    how = EnsembleSettings.model_validate({"members": 3, **settings})
    made = new_ensemble(trunk, "reward", LORA, upper, how, seed=0, start=start)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for index, one in enumerate(made.members):
            for parameter in [*made.own_parameters(index), one.head.weight]:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            one.mean, one.std = 0.1 * index, 1.0 + index
    return made


@pytest.mark.parametrize(("upper", "start"), [(1, None), (None, None), (1, "sft"), (2, "sft")])
def test_is_its_members_apart(new_trunk: Callable[..., Trunk], upper: int | None, start: str | None) -> None:
    trunk = new_trunk()
    if start:
        add_random_adapter(trunk, start)
    made = ensemble(trunk, upper, start)
    parameters = [p for i in range(3) for p in [*made.own_parameters(i), made.members[i].head.weight]]
    apart = torch.stack([one.normalised(one.raw(pairs())) for one in made.members])
    together = made.raw_by_member(pairs())
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().mean() > 0.01
    weights = torch.randn(together.shape, generator=torch.Generator().manual_seed(2))
    ours, theirs = (torch.autograd.grad((s * weights).sum(), parameters) for s in (together, apart))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_some_of_the_pairs_are_as_they_were_among_all(new_trunk: Callable[..., Trunk]) -> None:
    made = ensemble(new_trunk())
    shared = made.shared(pairs())
    for chosen in ([0, 1, 4, 5], [3], [5, 2, 0]):
        part = made.member_raw(1, shared.only(chosen))
        torch.testing.assert_close(part, made.member_raw(1, shared)[chosen], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("aggregate", ["mean", "minimum", "mean-variance", "quantile"])
def test_scores_are_the_rule_on_member_scores(new_trunk: Callable[..., Trunk], aggregate: str) -> None:
    made = ensemble(new_trunk(), aggregate=aggregate, variance_penalty=0.5, quantile=0.5)
    each = made.member_scores(pairs())
    assert each.shape == (3, 6)
    expected = {
        "mean": each.mean(0),
        "minimum": each.min(0).values,
        "mean-variance": each.mean(0) - 0.5 * each.var(0, unbiased=False),
        "quantile": each.median(0).values,
    }
    torch.testing.assert_close(made.scores(pairs()), expected[aggregate], atol=1e-5, rtol=1e-5)
    for budget in (1, 60):
        torch.testing.assert_close(made.scores(pairs(), budget), expected[aggregate], atol=1e-4, rtol=1e-4)


def test_a_new_one_has_members_of_its_own(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    made = new_ensemble(trunk, "reward", LORA, 1, EnsembleSettings(members=2), seed=0)
    one, other = (made.own_parameters(i)[0] for i in range(2))
    assert one.shape == other.shape and not torch.equal(one, other)
    scores = made.member_scores(pairs())
    assert 0 < scores.abs().max() < 1 and not torch.equal(scores[0], scores[1])
    assert made.first_own == trunk.num_layers - 1
    assert new_ensemble(trunk, "deep", LORA, 99, EnsembleSettings(members=2), seed=0).first_own == 0


@pytest.mark.parametrize("start", [None, "sft"])
def test_opens_as_it_was(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path, start: str | None
) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "sft")
    made = ensemble(trunk, 1, start, aggregate="minimum")
    made.set_scale({"temperature": 1.7, "mean": 0.3, "std": 2.0, "length_slope": 0.01})
    made.save(tmp_path)
    settings = ModelSettings(base=str(tiny_folder), dtype="float32", device="cpu")
    again = open_reward_model(settings, TokenSettings(), tmp_path, "judge")
    assert isinstance(again, RewardEnsemble)
    assert torch.equal(again.scores(pairs()), made.scores(pairs()))
    assert torch.equal(again.member_scores(pairs()), made.member_scores(pairs()))
    assert again.scale() == made.scale() and again.settings == made.settings
    # each member is a reward model by itself
    alone = RewardModel.load(new_trunk(), tmp_path / "member_2", "alone")
    expected = made.members[2].scores(pairs())
    torch.testing.assert_close(alone.scores(pairs()), expected, atol=1e-6, rtol=1e-6)


def test_length_is_taken_off_scores(new_trunk: Callable[..., Trunk]) -> None:
    made = ensemble(new_trunk())
    before = made.scores(pairs())
    made.length_slope = 0.25
    lengths = torch.tensor([8.0, 1.0, 40.0, 3.0, 12.0, 6.0])
    torch.testing.assert_close(made.scores(pairs()), before - 0.25 * lengths)


def test_what_is_no_ensemble_is_refused(new_trunk: Callable[..., Trunk], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"set model\.tune=lora"):
        new_ensemble(new_trunk(adapters=False), "r", LORA, 1, EnsembleSettings(members=2), seed=0)
    made = ensemble(new_trunk())
    made.save(tmp_path)
    file = tmp_path / "reward.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "ensemble": {"members": 0}}))
    with pytest.raises(ModelError, match="describes no ensemble"):
        RewardEnsemble.load(new_trunk(), tmp_path, "reward")
    # members with own adapters in a layer that is said to be common
    file.write_text(json.dumps({**kept, "first_own_layer": 2}))
    with pytest.raises(ModelError, match=r"differ at model\.layers\.1"):
        RewardEnsemble.load(new_trunk(), tmp_path, "reward")
