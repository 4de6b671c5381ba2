"""Planning: an artifact's id changes with what goes into it, and with nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tutelage.core.errors import StoreError
from tutelage.core.recipe import Recipe, parse_recipe
from tutelage.pipeline.graph import STAGES, needed_for, plan, stage_seed

SOURCES = {"pack:starter/demonstrations.jsonl": "a" * 64}


def ids(**changes: object) -> dict[str, str]:
    recipe = parse_recipe({"name": "r", **changes})
    return {name: planned.id for name, planned in plan(recipe, SOURCES).items()}


def changed(**changes: object) -> set[str]:
    before, after = ids(), ids(**changes)
    return {name for name in before if before[name] != after[name]}


ALL = {stage.name for stage in STAGES}


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({"name": "another"}, set()),
        ({"database": "sqlite:///other.db"}, set()),
        ({"report": {"title": "new"}}, {"report"}),
        ({"evaluate": {"limit": 3}}, {"evaluate", "report"}),
        ({"ppo": {"iterations": 3}}, {"ppo", "evaluate", "report"}),
        ({"referee": {"epochs": 3}}, {"referee", "evaluate", "report"}),
        ({"reward": {"epochs": 3}}, {"reward", "ppo", "evaluate", "report"}),
        ({"judge": {"ai": False}}, {"judge", "reward", "referee", "ppo", "evaluate", "report"}),
        ({"sample": {"num_prompts": 3}}, ALL - {"data", "sft"}),
        ({"sft": {"epochs": 3}}, ALL - {"data"}),
        ({"tokens": {"max_response": 32}}, ALL - {"data"}),
        ({"data": {"referee_share": 0.4}}, ALL),
        ({"seed": 18}, ALL),
    ],
)
def test_a_change_reaches_what_rests_on_it_and_no_further(
    changes: dict[str, object], stale: set[str]
) -> None:
    assert changed(**changes) == stale


def test_other_data_changes_everything_and_writing_out_defaults_changes_nothing() -> None:
    recipe = Recipe(name="r")
    here, there = plan(recipe, SOURCES), plan(recipe, {**SOURCES, "more.jsonl": "b" * 64})
    assert all(here[name].id != there[name].id for name in here)
    assert ids(sft={"epochs": 2, "batch": 16}) == ids()


def test_every_stage_is_planned_after_what_it_needs() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert set(stage.needs) <= seen
        seen.add(stage.name)
        assert all(hasattr(Recipe(name="r"), group) for group in stage.groups)


def test_only_what_is_needed_in_order() -> None:
    assert [s.name for s in needed_for("reward")] == ["data", "sft", "sample", "judge", "reward"]
    assert [s.name for s in needed_for("data")] == ["data"]
    assert needed_for(None) == list(STAGES)
    with pytest.raises(StoreError, match="no stage 'polish': the stages are data, sft"):
        needed_for("polish")


def test_stages_draw_from_seeds_of_their_own() -> None:
    seeds = [stage_seed(seed, stage.name) for seed in range(50) for stage in STAGES]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_planning_needs_no_torch() -> None:
    script = (
        "import sys, tutelage.pipeline.graph, tutelage.pipeline.status, tutelage.pipeline.project\n"
        "print([m for m in ('torch', 'transformers', 'sqlalchemy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
