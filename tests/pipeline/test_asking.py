"""`tutelage ask`: scores are kept as the model gives them, and the forecast follows a planted law."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.test_whole_road import TINY
from tests.web.projects import make_test_project
from tutelage.core.errors import StoreError
from tutelage.core.records import Prompt, Response
from tutelage.core.settings import EnsembleSettings, LoraSettings
from tutelage.models.ensemble import new_ensemble
from tutelage.models.trunk import Trunk
from tutelage.pipeline.asking import ask, scores_by_member
from tutelage.pipeline.forecast import Forecast, Probed, expected
from tutelage.pipeline.project import Project
from tutelage.stats.intervals import Interval
from tutelage.store.asking import scores_by_response, scores_state
from tutelage.store.database import Database


def test_without_a_reward_model_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run `tutelage run --to reward`"):
        ask(Project(make_test_project(tmp_path)))


def test_members_differ_by_their_log_odds(new_trunk: Callable[..., Trunk]) -> None:
    model = new_ensemble(
        new_trunk(), "reward", LoraSettings(rank=4, alpha=8), 1, EnsembleSettings(members=3), seed=0
    )
    with torch.no_grad():
        for place, one in enumerate(model.members):
            one.head.weight.copy_(
                torch.randn(one.head.weight.shape, generator=torch.Generator().manual_seed(place))
            )
    model.temperature = 2.0
    prompt = Prompt.of("What is rice?")
    responses = [Response(prompt.id, text, "sft") for text in ("A grain.", "I do not know, sorry.")]
    found = scores_by_member(model, {prompt.id: prompt}, responses)
    asked = model.trunk.contract.prompt_ids(prompt.messages)
    for member, one in enumerate(model.members):
        for response in responses:
            alone = (
                one.normalised(one.scores([(asked, model.trunk.contract.response_ids(response.text))])) / 2.0
            )
            assert found[response.id][member] == pytest.approx(float(alone), abs=1e-5)


def probed(count: int, seed: int, noise: float = 1.0) -> Probed:
    """Pairs told by a direction among 30 that are not: more of them find it better."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 30))
    margin = 1.5 * x[:, 0] + noise * generator.logistic(size=count)
    return Probed(x * np.sign(margin)[:, None], np.ones(count), np.arange(count))


def test_the_forecast_says_what_more_brings() -> None:
    now, twice, four_times = expected(probed(200, 0), probed(1500, 1))
    assert now.value < twice.value < four_times.value
    (there, *_) = expected(probed(800, 2), probed(1500, 1))
    assert four_times.value == pytest.approx(there.value, abs=0.03)
    assert four_times.low - 0.01 <= there.value <= four_times.high + 0.01


def test_what_is_said() -> None:
    points = tuple(Interval(0.6 + 0.01 * n, 0.5, 0.7, 300) for n in range(3))
    lines = Forecast(120, 0.66, points).lines(30.0)
    assert "own accuracy is 0.660" in lines[0]
    assert "240  accuracy 0.610 [0.500, 0.700], 60 minutes more" in lines[2]
    assert "needs 16 prompts" in Forecast(3, None, None).lines(None)[0]


@pytest.mark.slow  # 20 s: the real stages up to the reward model, on the tiny model
def test_from_a_reward_model_to_what_is_asked_next(tiny_folder: Path, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    settings = (*TINY, f"model.base={tiny_folder}", "judge.ai=false", "sample.num_prompts=12")
    recipe = project.path / "tutelage.yaml"
    settings += (
        "model.tune=lora",
        "reward.start=base",
        "reward.ensemble.members=2",
        "reward.probe_prompts=0",
    )
    project.run(*settings, to="reward")
    kept = project.recipe(*settings)
    recipe.write_text(kept.model_dump_json())  # JSON is YAML
    found = ask(project)
    assert (found.members, found.prompts) == (2, 12) and found.responses >= 48 and len(found.worth) == 5
    assert found.forecast is not None and found.forecast.expected is not None
    assert found.rankings == 24 and found.allowed is None
    with Database.open(kept.database, project.path) as database, database.read() as connection:
        assert scores_state(connection) == (found.responses, found.artifact)
        assert {len(row) for row in scores_by_response(connection).values()} == {2}
