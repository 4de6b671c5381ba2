"""docs/metrics.md names every metric that is logged or reported."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.test_recipes import shrunk

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "metrics.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| `")]
NAMED = {name for row in ROWS for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}


def logged_by_name() -> set[str]:
    """Keywords given to any `recorder.log(...)` in the package."""
    names: set[str] = set()
    for path in (ROOT / "src" / "tutelage").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("recorder.log"):
                names |= {k.arg for k in node.keywords if k.arg is not None}
    return names


def test_what_is_logged_by_name_is_defined() -> None:
    names = logged_by_name()
    assert {"train_loss", "validation_loss", "grad_norm"} <= names
    assert names <= NAMED


def test_every_row_has_a_formula_and_a_unit() -> None:
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3, row
        assert cells[1], row


def test_the_summary_holds_nothing_that_is_undefined() -> None:
    from tutelage.evals.task import MEASURES

    assert set(MEASURES) <= NAMED


@pytest.mark.slow
def test_what_a_whole_run_leaves_is_defined(tiny_folder: Path, tmp_path: Path) -> None:
    from tutelage.pipeline.project import Project
    from tutelage.pipeline.reporters import Silent

    project = Project.init(tmp_path / "small")
    outcome = project.run(*shrunk(tiny_folder), reporter=Silent())
    found: set[str] = set()
    for stage, finished in outcome.artifacts.items():
        for line in _lines(finished.folder / "metrics.jsonl"):
            found |= set(line) - {"step"}
        if stage != "evaluate":
            found |= set(finished.artifact.metrics)
        for name in ("measured.json", "judge.json"):
            if (finished.folder / name).exists():
                found |= set(json.loads((finished.folder / name).read_text()))
    for measures in (project.summary()[stage] for stage in ("base", "sft", "ppo")):
        found |= set(measures)
    assert {"kl_k3", "explained_variance", "held_out_reward", "ece_after", "win_rate_vs_base"} <= found
    # names of judges and raters are no metrics
    assert found - {"judge", "raters"} <= NAMED


def test_what_every_method_leaves_is_defined(tmp_path: Path) -> None:
    from benchmarks.spaces import PROMPT, Space, actors_for
    from tutelage.core.method_settings import (
        DpoSettings,
        GrpoSettings,
        KtoSettings,
        OnlineDpoSettings,
        PpoSettings,
        RejectionSettings,
        RlooSettings,
    )
    from tutelage.core.recorder import Recorder
    from tutelage.training import dpo, grpo, kto, online_dpo, ppo, rejection, rloo
    from tutelage.training.direct import Learner
    from tutelage.training.ranked import RankedExample

    space = Space.random(vocabulary=5, length=2, beta=0.5, seed=0)
    pairs = ((0, 1, 1.0, 1.0), (2, 1, 0.7, 1.0))
    example = RankedExample("p", "", PROMPT, ((0,), (1,), (2, 3)), (), pairs, (1, 1, 2))
    small = {"iterations": 1, "rollouts": 8, "responses_per_prompt": 4, "evaluate_every": 1}
    found: set[str] = set()
    mixed = PpoSettings.model_validate({"iterations": 1, "objective": {"pretraining_coefficient": 1.0}})
    by_sampling: dict[str, Any] = {
        "ppo": lambda *a, **w: ppo.train_ppo(*a, mixed, **w, pretraining=[(PROMPT, (1,))]),
        "rloo": lambda *a, **w: rloo.train_rloo(*a, RlooSettings.model_validate(small), **w),
        "grpo": lambda *a, **w: grpo.train_grpo(*a, GrpoSettings.model_validate(small), **w),
        "rejection": lambda *a, **w: rejection.train_rejection(
            *a, RejectionSettings.model_validate(small), **w
        ),
        "online-dpo": lambda *a, **w: online_dpo.train_online_dpo(
            *a, OnlineDpoSettings.model_validate(small), **w
        ),
    }
    for name in (*by_sampling, "dpo", "kto"):
        folder = tmp_path / name
        folder.mkdir()
        where: dict[str, Any] = {"folder": folder, "recorder": Recorder(name, folder), "seed": 0}
        actors = actors_for(space, seed=1)
        actors.value = actors.value if name == "ppo" else None
        learner = Learner(actors.policy, None, actors.reference, None)
        if name in by_sampling:
            by_sampling[name](actors, [PROMPT] * 2, [PROMPT], **where)
        else:
            both = [example, dataclasses.replace(example, prompt=(1, 0))]
            if name == "dpo":
                found |= set(dpo.train_dpo(learner, both, [example], DpoSettings(), **where))
            else:
                found |= set(kto.train_kto(learner, both, [example], KtoSettings(), **where))
        for line in _lines(folder / "metrics.jsonl"):
            found |= set(line) - {"step"}
    assert {"kl_loss", "reward_margin", "reference_point", "held_out_accuracy"} <= found
    assert {"pretraining_loss", "kept_share", "held_out_kl"} <= found
    assert found <= NAMED


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
