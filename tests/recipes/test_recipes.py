"""The shipped recipes: each validates, says what it costs, and runs from end to end at a tiny scale."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tutelage.core.errors import RecipeError
from tutelage.core.recipe import recipe_from
from tutelage.pipeline.project import Project
from tutelage.pipeline.recipes import read_head, recipes_folder
from tutelage.pipeline.reporters import Silent

RECIPES = sorted(recipes_folder().glob("*.yaml"))
ESTIMATED = ("rlhf", "science-tutor")

every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)


def shrunk(model: Path) -> list[str]:
    """Overrides that leave a recipe's methods and change its scale: a tiny model, pack data, few steps."""
    pack = json.dumps([{"source": "pack:science_tutor"}])
    few = json.dumps([{"source": "pack:science_tutor", "limit": 16}])
    sizes: dict[str, Any] = {
        "model.base": str(model),
        "model.dtype": "float32",
        "model.lora.rank": 2,
        "tokens.max_prompt": 160,
        "tokens.max_response": 8,
        "data.demonstrations": few,
        "data.comparisons": pack,
        "data.prompts": few,
        "data.evaluation": "pack:science_tutor",
        "sft.epochs": 1,
        "sft.distillation.categories": "[]",
        "sample.num_prompts": 3,
        "judge.ai": "false",
        "reward.epochs": 1,
        "model.upper_layers": "null",
        "reward.upper_layers": "null",
        "referee.epochs": 1,
        "referee.upper_layers": "null",
        "ppo.iterations": 1,
        "ppo.rollouts": 4,
        "ppo.minibatch": 4,
        "ppo.held_out_prompts": 2,
        "ppo.category_shares": "{}",
        "evaluate.limit": 3,
        "evaluate.bootstrap": 100,
    }
    return [f"{key}={value}" for key, value in sizes.items()]


def test_the_three_recipes_are_shipped() -> None:
    assert {p.stem for p in RECIPES} >= {"quickstart", "rlhf", "science-tutor"}


@every_recipe
def test_it_validates_and_carries_its_own_name(path: Path) -> None:
    assert recipe_from(path).name == path.stem


@every_recipe
def test_its_head_has_all_five_lines(path: Path) -> None:
    head = read_head(path)
    assert head.title
    assert set(head.facts) == {"purpose", "hardware", "time", "cost", "command"}
    assert all(head.facts.values())


@every_recipe
def test_its_command_would_run_this_recipe(path: Path) -> None:
    command = read_head(path).facts["command"]
    named = re.search(r"--recipe (\S+)", command)
    # `tutelage init` without --recipe takes the quickstart
    assert (named[1] if named else "quickstart") == path.stem
    assert "tutelage --project NAME run" in command


@pytest.mark.parametrize("name", ESTIMATED)
def test_times_and_costs_that_nobody_measured_say_so(name: str) -> None:
    facts = read_head(recipes_folder() / f"{name}.yaml").facts
    assert "estimated" in facts["time"] and "estimated" in facts["cost"] and "not timed" in facts["time"]


@every_recipe
def test_no_line_is_too_long_to_read(path: Path) -> None:
    assert max(len(line) for line in path.read_text().splitlines()) <= 110


@every_recipe
def test_it_can_be_shrunk_and_stays_valid(path: Path, tiny_folder: Path) -> None:
    whole, small = recipe_from(path), recipe_from(path, shrunk(tiny_folder))
    assert small.model.base == str(tiny_folder)
    # the method is the recipe's own: only its scale has changed
    assert small.reward.loss == whole.reward.loss
    assert small.ppo.objective == whole.ppo.objective
    assert small.model.tune == whole.model.tune
    sources = [
        s.source for group in ("demonstrations", "comparisons", "prompts") for s in getattr(small.data, group)
    ]
    assert all(source.startswith("pack:") for source in sources)


@every_recipe
def test_a_misspelt_setting_is_refused_and_the_right_one_named(path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'iterations'"):
        recipe_from(path, ["ppo.iteration=3"])


def test_the_prompts_that_ppo_answers_are_not_those_that_train_the_reward_model() -> None:
    data = recipe_from(recipes_folder() / "rlhf.yaml").data
    judged = {(s.source, s.split) for s in data.comparisons}
    assert not judged & {(s.source, s.split) for s in data.prompts}


@pytest.mark.slow
@every_recipe
def test_it_runs_from_end_to_end_at_a_tiny_scale(path: Path, tiny_folder: Path, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "small", recipe=path.stem)
    overrides = shrunk(tiny_folder)
    outcome = project.run(*overrides, reporter=Silent())
    assert list(outcome.ran) == [stage.stage for stage in project.status(*overrides).stages]
    summary = project.summary()
    for stage in ("base", "sft", "ppo"):
        for measure in ("harmful_compliance", "over_refusal", "honesty", "capability_accuracy"):
            found = summary[stage][measure]
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert project.report_page.stat().st_size > 10_000
    # nothing is done twice
    assert not project.run(*overrides, reporter=Silent()).ran
