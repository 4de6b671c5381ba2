"""The recipe: bounds, names, overrides; each mistake is one sentence that names the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.core.errors import RecipeError
from tutelage.core.method_settings import DirectSettings, OnlineSettings
from tutelage.core.methods import METHODS
from tutelage.core.recipe import Recipe, apply_overrides, parse_recipe, recipe_from, section


def test_naming_one_setting_keeps_its_neighbours() -> None:
    recipe = parse_recipe({"name": "x", "ppo": {"optim": {"weight_decay": 0.5}}})
    assert recipe.ppo.optim.weight_decay == 0.5
    assert recipe.ppo.optim.schedule == "constant"  # PPO's default, not that of all optimisers
    assert recipe.ppo.optim.learning_rate == 1e-4


def test_numbers_without_a_dot_are_numbers() -> None:
    """YAML reads 1e-4 as text."""
    assert (
        parse_recipe({"name": "x", "sft": {"optim": {"learning_rate": "1e-3"}}}).sft.optim.learning_rate
        == 1e-3
    )
    overridden = apply_overrides({"name": "x"}, ["ppo.optim.learning_rate=3e-5"])
    assert parse_recipe(overridden).ppo.optim.learning_rate == 3e-5


def test_overrides_leave_the_original_alone() -> None:
    values = {"name": "x", "sft": {"epochs": 1}}
    changed = apply_overrides(values, ["sft.epochs=3", "model.base=./folder", "evaluate.limit=null"])
    assert values == {"name": "x", "sft": {"epochs": 1}}
    assert changed["sft"] == {"epochs": 3}
    assert changed["model"] == {"base": "./folder"}
    assert changed["evaluate"] == {"limit": None}


def test_policies_are_named_in_the_recipe() -> None:
    assert parse_recipe({"name": "x"}).policies == ("ppo",)
    several = parse_recipe({"name": "x", "policies": ["dpo", "rloo"]})
    assert (several.policies, several.final) == (("dpo", "rloo"), "rloo")
    assert parse_recipe({"name": "x", "policies": "kto"}).policies == ("kto",)
    # a group may stand there for a method that is not named: it decides nothing
    assert parse_recipe({"name": "x", "grpo": {"rollouts": 64}}).policies == ("ppo",)


def test_an_ensemble_keeps_the_lower_layers_of_the_sft_adapter() -> None:
    reward = {"start": "sft", "upper_layers": 4, "ensemble": {"members": 3}}
    assert parse_recipe({"name": "x", "reward": reward}).reward.upper_layers == 4


def test_every_method_has_a_group_of_settings_of_its_kind() -> None:
    recipe = Recipe(name="x")
    kinds = {"online": OnlineSettings, "direct": DirectSettings}
    for method in METHODS.values():
        assert isinstance(getattr(recipe, method.group), kinds[method.kind])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "x", "policies": []}, "setting 'policies': name at least one method of ppo, rloo"),
        ({"name": "x", "policies": ["ppo", "bpo"]}, "there is no method 'bpo': choose from ppo, rloo"),
        ({"name": "x", "policies": ["dpo", "ppo", "dpo"]}, "'dpo' is named twice: name each method once"),
        ({"name": "x", "policies": [["ppo"]]}, "there is no method"),
        ({"name": "x", "policies": {"ppo": 1}}, "name at least one method"),
        ({}, "needs the setting 'name'"),
        (
            {"name": "x", "ppo": {"iteration": 3}},
            "unknown setting 'ppo.iteration': did you mean 'iterations'",
        ),
        ({"name": "x", "ppo": {"iterations": 0}}, "setting 'ppo.iterations': .*greater than or equal to 1"),
        ({"name": "x", "ppo": 3}, "setting 'ppo'"),
        ({"name": "x", "model": {"tune": "half"}}, "setting 'model.tune'"),
        ({"name": "x", "reward": {"start": "sft", "upper_layers": 4}}, "set reward.upper_layers=null"),
        (
            {"name": "x", "model": {"tune": "full"}, "referee": {"ensemble": {"members": 2}}},
            "set model.tune=lora, or referee.ensemble.members=1",
        ),
        (
            {"name": "x", "reward": {"ensemble": {"aggregate": "median"}}},
            "setting 'reward.ensemble.aggregate'",
        ),
        (
            {"name": "x", "reward": {"perspectives": {"helpful": {"weight": 2}}}},
            "needs the setting 'reward.perspectives.helpful.categories'",
        ),
        (
            {"name": "x", "data": {"referee_share": 0.6, "measure_share": 0.5}},
            "nothing to train the reward model",
        ),
    ],
)
def test_each_mistake_is_one_sentence(values: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        parse_recipe(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["epochs", "=3", "name.first=x", "sft.epochs=[1"])
def test_overrides_that_make_no_sense(text: str) -> None:
    with pytest.raises(RecipeError):
        apply_overrides({"name": "x"}, [text])


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "tutelage.yaml"
    with pytest.raises(RecipeError, match="no recipe at"):
        recipe_from(path)
    path.write_text("name: x\n  bad: [")
    with pytest.raises(RecipeError, match=r"tutelage.yaml:\d+ is not valid YAML"):
        recipe_from(path)
    path.write_text("- a\n- b\n")
    with pytest.raises(RecipeError, match="holds no recipe"):
        recipe_from(path)
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read"):
        recipe_from(path)


def test_a_section_is_plain_and_whole() -> None:
    kept = section(parse_recipe({"name": "x"}), "sft", "tokens")
    assert set(kept) == {"sft", "tokens"}
    assert kept["sft"]["optim"]["learning_rate"] == 2e-4
