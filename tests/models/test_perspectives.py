"""Several score heads: their weighted sum is the score, here and for whoever opens the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.models.helpers import add_random_adapter, sequences
from tutelage.core.errors import ModelError
from tutelage.core.settings import ModelSettings, TokenSettings
from tutelage.models.perspectives import HEADS, PerspectiveModel
from tutelage.models.reward import RewardModel
from tutelage.models.roles import open_reward_model
from tutelage.models.scoring import Pair
from tutelage.models.trunk import Trunk

WEIGHTS = {"helpful": 1.0, "harmless": 2.0, "honest": 0.0}


def pairs() -> list[Pair]:
    return list(zip(sequences((5, 30, 9)), sequences((8, 1, 40), seed=5), strict=True))


def made(trunk: Trunk) -> PerspectiveModel:
    if trunk.layers:
        add_random_adapter(trunk, "reward")
    model = PerspectiveModel(trunk, "reward" if trunk.layers else None, WEIGHTS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def test_the_score_is_the_weighted_sum(new_trunk: Callable[..., Trunk]) -> None:
    model = made(new_trunk())
    each = model.perspective_scores(pairs())
    assert each.shape == (3, 3) and model.names == list(WEIGHTS)
    torch.testing.assert_close(model.scores(pairs()), each[0] + 2 * each[1], atol=1e-4, rtol=1e-4)
    assert each.std(0).min() > 0.1
    for budget in (1, 40):
        torch.testing.assert_close(model.perspective_scores(pairs(), budget), each, atol=1e-4, rtol=1e-4)


def test_each_head_has_its_own_gradient(new_trunk: Callable[..., Trunk]) -> None:
    model = made(new_trunk())
    model.raw_by_perspective(pairs())[1].sum().backward()
    assert [
        head.weight.grad is not None and bool(head.weight.grad.abs().sum() > 0) for head in model.heads.heads
    ] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("adapters", [True, False], ids=["adapter", "full"])
def test_opens_as_it_was_and_as_an_ordinary_reward_model(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path, adapters: bool
) -> None:
    model = made(new_trunk(adapters=adapters))
    model.temperature, model.mean = 1.7, 0.3
    model.scales["honest"] = (0.5, 2.0)
    model.save(tmp_path)
    settings = ModelSettings(base=str(tiny_folder), dtype="float32", device="cpu")
    again = open_reward_model(settings, TokenSettings(), tmp_path, "judge")
    assert isinstance(again, PerspectiveModel)
    assert again.heads.weights == WEIGHTS
    assert torch.equal(again.perspective_scores(pairs()), model.perspective_scores(pairs()))
    assert again.scale() == model.scale()
    each, normalised = again.perspective_scores(pairs()), again.normalised_by_perspective(pairs())
    assert torch.equal(normalised[:2], each[:2])
    torch.testing.assert_close(normalised[2], (each[2] - 0.5) / 2)
    if adapters:
        plain = RewardModel.load(new_trunk(), tmp_path, "plain")
        assert type(plain) is RewardModel
        torch.testing.assert_close(plain.scores(pairs()), model.scores(pairs()), atol=1e-4, rtol=1e-4)
    (tmp_path / HEADS).write_bytes(b"")
    with pytest.raises(ModelError, match="are incomplete"):
        open_reward_model(settings, TokenSettings(), tmp_path, "judge")
