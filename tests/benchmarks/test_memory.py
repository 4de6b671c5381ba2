"""The measuring of memory: its stages' steps on a tiny model, and what a row says of what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims.claim import Measurement, line
from benchmarks.claims.training_core import memory as row
from benchmarks.memory import configurations, work
from benchmarks.memory.measure import Found, MeasuringFailed
from tutelage.core.recipe import Recipe
from tutelage.core.recorder import Recorder, read_metrics

SMALL: dict[str, Any] = {"optim": {"micro_batch_tokens": 64}}


def small(stage: str, base: Path, tune: str) -> Recipe:
    own = {
        "sft": {"epochs": 1, "batch": 4},
        "reward": {"loss": "bradley-terry", "batch": 2},
        "ppo": {"iterations": 2, "rollouts": 4, "minibatch": 2, "held_out_prompts": 0, "max_update_kl": 1e-9},
    }[stage]
    said = {"name": "x", "model": {"base": str(base), "tune": tune}, stage: {**own, **SMALL}}
    return Recipe.model_validate({**said, "tokens": {"max_prompt": 24, "max_response": 8}})


@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_every_stage_takes_two_real_steps(stage: str, tune: str, tiny_folder: Path, tmp_path: Path) -> None:
    work.STAGES[stage](small(stage, tiny_folder, tune), tmp_path, Recorder(stage, tmp_path))
    logged = read_metrics(tmp_path / "metrics.jsonl")
    assert max(step["step"] for step in logged) == 2
    assert any(step.get("grad_norm", 0.0) > 0 for step in logged)
    if stage == "ppo":
        assert all(step["response_length"] == 8 for step in logged)


def test_configurations_are_recipes_and_rows() -> None:
    assert [claim.name for claim in row.CLAIMS] == [one.name for one in configurations.ALL]
    for one in configurations.ALL:
        assert one.recipe().tokens.max_prompt == configurations.TOKENS["max_prompt"]


@pytest.mark.parametrize(("estimated", "holds"), [(89, False), (91, True), (109, True), (111, False)])
def test_a_row_holds_within_a_tenth(monkeypatch: pytest.MonkeyPatch, estimated: int, holds: bool) -> None:
    monkeypatch.setattr(row, "measured", lambda _: Found(estimated << 20, 1, 100 << 20))
    name, found = next(row.measure())
    assert isinstance(found, Measurement)
    assert line("x", row.CLAIMS[0], found, 0.0)["holds"] is holds
    assert name == row.CLAIMS[0].name


def test_a_process_that_failed_is_told_and_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Any) -> Found:
        raise MeasuringFailed("killed")

    monkeypatch.setattr(row, "measured", fails)
    found = [found for _, found in row.measure()]
    assert all(isinstance(one, Measurement) and one.value is None and one.note == "killed" for one in found)
