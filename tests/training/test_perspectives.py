"""Perspectives: two that want opposite things are both learned, and each from its own comparisons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers_training import LORA, tiny_trunk
from tests.training.test_reward_model import planted
from tutelage.core.errors import DataError
from tutelage.core.recorder import Recorder
from tutelage.core.settings import OptimSettings, RewardSettings
from tutelage.models.perspectives import PerspectiveModel
from tutelage.models.roles import new_reward_model
from tutelage.training.perspectives import accumulate, heads_of, train_perspectives
from tutelage.training.ranked import RankedExample, ranked_examples
from tutelage.training.reward_model import prompt_loss, trunk_parameters

PERSPECTIVES = {
    "first": {"categories": ["odd"], "weight": 1.0},
    "second": {"categories": ["even"], "weight": 0.25},
}
SETTINGS = RewardSettings.model_validate(
    {"perspectives": PERSPECTIVES, "epochs": 6, "batch": 4, "optim": {"learning_rate": 1e-2}}
)


def fresh(folder: Path) -> PerspectiveModel:
    one = new_reward_model(tiny_trunk(folder), "reward", LORA, None, seed=0)
    return PerspectiveModel(one.trunk, one.adapter, {"first": 1.0, "second": 0.25})


def opposite(model: PerspectiveModel, count: int, start: int = 0) -> list[RankedExample]:
    """Of every second prompt the order is turned round: what is best for one perspective is worst for the other."""
    found = ranked_examples(*planted(count, start), model.trunk.contract)
    return [_turned(e) if e.category == "even" else e for e in found]


def _turned(example: RankedExample) -> RankedExample:
    rankings = tuple((groups[::-1], weight) for groups, weight in example.rankings)
    pairs = tuple((worse, better, preference, weight) for better, worse, preference, weight in example.pairs)
    return replace(example, rankings=rankings, pairs=pairs)


def test_each_learns_its_own_and_the_sum_follows_the_heavier(tiny_folder: Path, tmp_path: Path) -> None:
    model = fresh(tiny_folder)
    train, held_out = opposite(model, 24), opposite(model, 12, start=100)
    where = {"folder": tmp_path, "recorder": Recorder("reward", tmp_path), "seed": 1}
    measured = train_perspectives(model, train, held_out, SETTINGS, **where)
    each = measured["perspectives"]
    assert list(each) == ["first", "second"]
    assert all(one["accuracy"]["value"] > 0.95 for one in each.values())
    assert each["first"]["measured_on"] == {"prompts": 6, "comparisons": 18}
    # the sum follows the first, and so is right on its half of the prompts alone
    assert measured["accuracy"]["value"] == pytest.approx(0.5, abs=0.05)
    # each head's scale is that of the responses it learnt from
    own = [e for e in train if e.category == "odd"]
    scores = model.normalised_by_perspective([pair for e in own for pair in e.sequences])[0]
    assert float(scores.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(scores.std()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("budget", [10_000, 80])
def test_the_gradient_is_the_mean_over_prompts_of_their_own_heads(tiny_folder: Path, budget: int) -> None:
    settings = SETTINGS.model_copy(update={"optim": OptimSettings(micro_batch_tokens=budget)})
    model = fresh(tiny_folder)
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    batch = opposite(model, 6)
    heads = heads_of(batch, settings.perspectives)
    parameters = [*trunk_parameters(model), *model.heads.parameters()]
    seen = accumulate(model, batch, heads, settings, 0)
    ours = [p.grad.clone() for p in parameters]
    losses = [
        prompt_loss(model.raw_by_perspective(e.sequences)[h], e, settings)
        for e, h in zip(batch, heads, strict=True)
    ]
    mean = torch.stack(losses).mean()
    theirs = torch.autograd.grad(mean, parameters)
    assert seen["loss"] == pytest.approx(float(mean.detach()), abs=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_category_without_a_perspective_is_named(tiny_folder: Path) -> None:
    data = opposite(fresh(tiny_folder), 2)
    for category, words in (("strange", "of the category 'strange'"), ("", "without a category")):
        with pytest.raises(DataError, match=words):
            heads_of([replace(data[0], category=category)], SETTINGS.perspectives)


def test_settings_that_cannot_be_meant_are_refused() -> None:
    one = {"categories": ["a"]}
    for wrong, words in (
        ({"perspectives": {"x": one, "y": one}}, "'a' has two perspectives"),
        ({"perspectives": {"x": one}, "ensemble": {"members": 2}}, "one head each"),
        ({"perspectives": {"x": {**one, "weight": 0}}}, "weight 0"),
    ):
        with pytest.raises(ValueError, match=words):
            RewardSettings.model_validate(wrong)
