"""Planning: an artifact's id changes with what goes into it, and with nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tutelage.core.errors import StoreError
from tutelage.core.methods import METHODS
from tutelage.core.recipe import Recipe, parse_recipe
from tutelage.pipeline.graph import needed_for, plan, stage_seed, stages_of

SOURCES = {"pack:starter/demonstrations.jsonl": "a" * 64}


def ids(**changes: object) -> dict[str, str]:
    recipe = parse_recipe({"name": "r", **changes})
    return {name: planned.id for name, planned in plan(recipe, SOURCES).items()}


def changed(**changes: object) -> set[str]:
    before, after = ids(), ids(**changes)
    return {name for name in before if before[name] != after[name]}


STAGES = stages_of(Recipe(name="r"))
ALL = {stage.name for stage in STAGES}


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({"name": "another"}, set()),
        ({"database": "sqlite:///other.db"}, set()),
        ({"report": {"title": "new"}}, {"report"}),
        ({"evaluate": {"limit": 3}}, {"evaluate", "report"}),
        ({"ppo": {"iterations": 3}}, {"ppo", "evaluate", "report"}),
        ({"dpo": {"epochs": 3}, "rloo": {"iterations": 3}}, set()),  # not among the policies
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


def test_a_closed_round_of_blind_evaluation_makes_the_report_anew_and_nothing_else() -> None:
    recipe = parse_recipe({"name": "r"})
    before, after = (plan(recipe, SOURCES, rounds=rounds) for rounds in ({}, {"a": "2026-01-01"}))
    assert {name for name in before if before[name].id != after[name].id} == {"report"}
    assert before["report"].id == ids()["report"]


def test_every_stage_is_planned_after_what_it_needs() -> None:
    every = parse_recipe({"name": "r", "policies": list(METHODS)})
    for stages in (STAGES, stages_of(every), stages_of(Recipe(name="r"), also="kto")):
        seen: set[str] = set()
        for stage in stages:
            assert set(stage.needs) <= seen
            seen.add(stage.name)
            assert all(hasattr(every, group) for group in stage.groups)


def names(*policies: str, also: str | None = None) -> list[str]:
    return [s.name for s in stages_of(parse_recipe({"name": "r", "policies": policies}), also=also)]


def test_there_is_a_stage_for_each_policy_and_a_reward_model_only_where_one_needs_it() -> None:
    before, after = ["data", "sft", "sample", "judge"], ["evaluate", "report"]
    assert names("ppo") == [*before, "reward", "referee", "ppo", *after]
    assert names("dpo", "grpo") == [*before, "reward", "referee", "dpo", "grpo", *after]
    assert names("dpo", "kto") == [*before, "referee", "dpo", "kto", *after]
    assert names("dpo", also="reward") == [*before, "reward", "referee", "dpo", *after]
    assert names("dpo", also="rloo") == [*before, "reward", "referee", "dpo", "rloo", *after]


def test_evaluation_needs_every_policy_that_is_named_and_no_other() -> None:
    for policies in (["dpo"], ["kto", "ppo"]):
        recipe = parse_recipe({"name": "r", "policies": policies})
        for stage in stages_of(recipe, also="rloo")[-2:]:
            assert [need for need in stage.needs if need in METHODS] == policies
            assert ("reward" in stage.needs) == ("ppo" in policies)


def test_a_policy_is_the_same_artifact_whatever_stands_beside_it() -> None:
    alone, beside = ids(policies=["ppo"]), ids(policies=["ppo", "dpo"])
    changed_stages = {name for name in alone if alone[name] != beside[name]}
    assert changed_stages == {"evaluate", "report"}
    recipe = parse_recipe({"name": "r"})
    wanted = plan(recipe, SOURCES, stages_of(recipe, also="dpo"))
    assert wanted["dpo"].id == beside["dpo"]
    assert wanted["report"].id == alone["report"]  # as if it were not there


def test_the_order_of_policies_decides_the_evaluation_and_nothing_before_it() -> None:
    one, other = ids(policies=["ppo", "dpo"]), ids(policies=["dpo", "ppo"])
    assert {name for name in one if one[name] != other[name]} == {"evaluate", "report"}


def test_only_what_is_needed_in_order() -> None:
    assert [s.name for s in needed_for("reward", STAGES)] == ["data", "sft", "sample", "judge", "reward"]
    assert [s.name for s in needed_for("data", STAGES)] == ["data"]
    assert needed_for(None, STAGES) == list(STAGES)
    with pytest.raises(StoreError, match="no stage 'polish': the stages are data, sft"):
        needed_for("polish", STAGES)


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
