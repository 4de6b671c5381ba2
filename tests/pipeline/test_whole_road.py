"""The whole road on the tiny model: every real stage, once, through the Python API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage import Project
from tutelage.evals.task import MEASURES

TINY = (
    "tokens.max_prompt=300",
    "tokens.max_response=16",
    "sft.epochs=1",
    "sft.batch=64",
    "sample.num_prompts=4",
    "judge.measure_prompts=3",
    "reward.epochs=1",
    "reward.batch=32",
    "reward.start=sft",
    "model.upper_layers=null",
    "reward.upper_layers=null",
    "referee.epochs=1",
    "referee.batch=32",
    "referee.upper_layers=1",
    "ppo.iterations=2",
    "ppo.rollouts=8",
    "ppo.minibatch=4",
    "ppo.held_out_prompts=4",
    "ppo.evaluate_every=1",
    "evaluate.limit=4",
    "evaluate.bootstrap=100",
)


@pytest.mark.slow  # 30 s: all nine stages, with torch
@pytest.mark.parametrize("tune", ["lora", "full"])
def test_every_stage_runs_once_and_the_numbers_can_be_traced(
    tiny_folder: Path, tmp_path: Path, tune: str
) -> None:
    project = Project.init(tmp_path / "project")
    settings = (*TINY, f"model.base={tiny_folder}", f"model.tune={tune}")
    project.run(*settings)
    summary = json.loads((project.path / "report" / "summary.json").read_text())
    for stage in ("base", "sft", "ppo"):
        assert set(summary[stage]) == set(MEASURES)
        for measure in summary[stage].values():
            assert measure["low"] <= measure["value"] <= measure["high"]
            assert measure["n"] > 0
    page = (project.path / "report" / "index.html").read_text()
    manifests = {p: p.read_text() for p in project.path.glob("artifacts/*/*/manifest.json")}
    assert len(manifests) == 9
    for path in manifests:
        if path.parent.parent.name != "report":
            assert path.parent.name in page  # every artifact behind the page stands in its lineage

    project.run(*settings)
    again = {p: p.read_text() for p in project.path.glob("artifacts/*/*/manifest.json")}
    assert again == manifests  # nothing was run a second time

    project.run(*settings, "ppo.iterations=3")
    stages = sorted(p.parent.parent.name for p in project.path.glob("artifacts/*/*/manifest.json"))
    assert [s for s in stages if stages.count(s) == 2][::2] == ["evaluate", "ppo", "report"]
