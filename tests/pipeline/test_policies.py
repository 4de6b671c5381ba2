"""A recipe with every method: each is trained from the same SFT model, and all are measured and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.test_recipes import shrunk
from tutelage.core.methods import METHODS
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent

ALL = list(METHODS)
SMALL = ("iterations=1", "rollouts=4", "minibatch=4", "held_out_prompts=2", "evaluate_every=1")
GROUPED = ("rloo", "grpo", "rejection", "online_dpo")
GROUPS = [f"{name}.{size}" for name in GROUPED for size in (*SMALL, "responses_per_prompt=2")]


class Ears(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def said(self, stage: str, text: str) -> None:
        self.heard.append(f"{stage}: {text}")


@pytest.mark.slow  # 30 s: every stage of every method, with torch
@pytest.mark.parametrize("tune", ["lora", "full"])
def test_every_method_runs_is_measured_and_told(tiny_folder: Path, tmp_path: Path, tune: str) -> None:
    project = Project.init(tmp_path / "project")
    mixed = ("ppo.objective.pretraining_coefficient=0.5", "ppo.value_warmup=0")
    overrides = [*shrunk(tiny_folder), *GROUPS, f"model.tune={tune}", *mixed]
    first = project.run(*overrides, "policies=[rloo,kto]", reporter=Silent())
    assert first.ran[-4:] == ("rloo", "kto", "evaluate", "report")

    both = [*overrides, f"policies=[{','.join(ALL)}]"]
    whole = project.run(*both, reporter=Silent())
    others = [name for name in ALL if name not in ("rloo", "kto")]
    assert whole.ran == (*others, "evaluate", "report")  # the two are kept
    assert not project.run(*both, reporter=Silent()).ran
    summary, page = project.summary(), project.report_page.read_text()
    assert list(summary)[: 2 + len(ALL)] == ["base", "sft", *ALL]
    assert f"the model after {METHODS[ALL[-1]].label} is" in page
    for name in ALL:
        assert summary[name].keys() == summary["sft"].keys() != set()
        assert f"{name}_vs_base" in summary["paired"]
        assert whole.artifacts[name].id in page
        answers = whole.artifacts["evaluate"].folder / "answers" / f"{name}.jsonl"
        assert answers.exists()
    assert whole.artifacts["ppo"].artifact.metrics["pretraining_loss"] > 0
    weights = {name: _weights(whole.artifacts[name].folder) for name in ALL}
    assert len(set(weights.values())) == len(ALL)  # no two methods left the same policy


@pytest.mark.slow
def test_direct_methods_need_no_reward_model_and_another_method_can_be_asked_for(
    tiny_folder: Path, tmp_path: Path
) -> None:
    project = Project.init(tmp_path / "project")
    overrides = [*shrunk(tiny_folder), *GROUPS, "policies=dpo"]
    outcome = project.run(*overrides, reporter=Silent())
    assert "reward" not in outcome.artifacts
    assert outcome.artifacts["dpo"].artifact.metrics["held_out_comparisons"] > 0
    page = project.report_page.read_bytes()

    ears = Ears()
    asked = project.run(*overrides, to="rloo", reporter=ears)
    assert asked.ran == ("reward", "rloo")
    assert sum("set policies: [dpo, rloo] to have it measured" in line for line in ears.heard) == 1
    assert project.artifact("rloo", *overrides).id == asked.artifacts["rloo"].id
    assert not project.run(*overrides, reporter=Silent()).ran  # and nothing else has changed
    assert project.report_page.read_bytes() == page


def _weights(folder: Path) -> bytes:
    (path,) = (folder / "model").glob("*model.safetensors")
    return path.read_bytes()
