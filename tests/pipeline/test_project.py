"""The Project: made with what a user needs, found from within, and read as well as run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import tutelage
from tests.pipeline.fakes import FAKES, RECIPE, make_project
from tutelage.core.errors import RecipeError, StoreError
from tutelage.pipeline.project import Project, find_project
from tutelage.pipeline.recipes import find_recipe, read_head, shipped_recipes
from tutelage.pipeline.reporters import Silent


@pytest.fixture
def recipe_file(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_init_makes_a_project(tmp_path: Path, recipe_file: str) -> None:
    project = Project.init(tmp_path / "new" / "bot", recipe_file)
    made = {path.name for path in project.path.iterdir()}
    assert made == {"tutelage.yaml", "constitution.yaml", "guidelines.md", ".gitignore"}
    assert (project.path / "tutelage.yaml").read_text() == RECIPE  # comments too
    assert project.recipe().name == "small"


def test_the_starting_constitution_is_whole(tmp_path: Path, recipe_file: str) -> None:
    project = Project.init(tmp_path / "bot", recipe_file)
    principles = yaml.safe_load((project.path / "constitution.yaml").read_text())["principles"]
    assert len(principles) >= 12
    assert len({p["id"] for p in principles}) == len(principles)
    for principle in principles:
        assert set(principle) == {"id", "text", "critique", "revision", "weight"}
        assert all(len(principle[k]) > 30 for k in ("text", "critique", "revision"))
        assert principle["weight"] > 0
    guidelines = (project.path / "guidelines.md").read_text().lower()
    assert all(f"## {word}" in guidelines for word in ("helpful", "harmless", "honest"))


def test_init_keeps_what_is_there_and_refuses_a_second_time(tmp_path: Path, recipe_file: str) -> None:
    folder = tmp_path / "bot"
    folder.mkdir()
    (folder / "guidelines.md").write_text("our own")
    Project.init(folder, recipe_file)
    assert (folder / "guidelines.md").read_text() == "our own"
    with pytest.raises(StoreError, match="is a project already"):
        Project.init(folder, recipe_file)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file: choose another name"):
        Project.init(tmp_path / "file", recipe_file)


def test_init_with_a_recipe_that_is_wrong_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\nppo: {iterations: 0}\n")
    with pytest.raises(RecipeError, match=r"ppo\.iterations"):
        Project.init(tmp_path / "bot", str(tmp_path / "bad.yaml"))
    with pytest.raises(RecipeError, match="no recipe 'nonsense': shipped are"):
        Project.init(tmp_path / "bot", "nonsense")
    with pytest.raises(RecipeError, match="no recipe file"):
        Project.init(tmp_path / "bot", "nowhere.yaml")
    assert not (tmp_path / "bot").exists()


def test_found_from_any_folder_within(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p")
    deep = folder / "artifacts" / "sft"
    deep.mkdir(parents=True)
    assert find_project(deep) == Project(deep).path == folder
    with pytest.raises(StoreError, match=r"is in no project .* `tutelage init NAME`"):
        find_project(tmp_path)
    with pytest.raises(StoreError, match="there is no folder"):
        find_project(tmp_path / "nowhere")


def test_overrides_as_text_and_as_python(tmp_path: Path) -> None:
    project = Project(make_project(tmp_path / "p"))
    recipe = project.recipe("ppo.iterations=4", seed=3, sft={"epochs": 5, "optim": {"learning_rate": 1e-5}})
    assert (recipe.ppo.iterations, recipe.seed, recipe.sft.epochs) == (4, 3, 5)
    assert recipe.sft.optim.learning_rate == 1e-5
    assert recipe.sft.batch == 16  # neighbours keep their values
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        project.recipe(sft={"epoch": 5})


def test_artifacts_by_stage(tmp_path: Path) -> None:
    project = Project(make_project(tmp_path / "p"), stages=FAKES)
    with pytest.raises(StoreError, match="sft is not done for this recipe: run `tutelage run --to sft`"):
        project.artifact("sft")
    assert project.sft(reporter=Silent()).ran == ("data", "sft")
    assert project.artifact("sft").artifact.metrics["value"] > 0
    with pytest.raises(StoreError, match="sft is not done"):
        project.artifact("sft", "sft.epochs=7")
    with pytest.raises(StoreError, match="no stage 'polish'"):
        project.artifact("polish")
    tree = project.lineage(project.artifact("sft").id)
    assert {n.name for n in tree.walk() if n.kind == "source"} == {
        "rows.jsonl",
        "evaluation/eval_helpful.jsonl",
    }


def test_summary(tmp_path: Path) -> None:
    project = Project(make_project(tmp_path / "p"))
    with pytest.raises(StoreError, match="there is no summary"):
        project.summary()
    (project.path / "report").mkdir()
    (project.path / "report" / "summary.json").write_text(json.dumps({"base": {"honesty": {"value": 0.5}}}))
    assert project.summary()["base"]["honesty"]["value"] == 0.5


def test_project_is_the_whole_api() -> None:
    assert tutelage.Project is Project


def test_the_head_of_a_recipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE.replace("Time      no time", "Time      no time\n#           at all"))
    head = read_head(path)
    assert head.title == "A small recipe for tests"
    assert head.facts == {"purpose": "nothing is trained", "hardware": "any", "time": "no time at all"}


def test_every_shipped_recipe_says_what_it_takes_and_is_valid(tmp_path: Path) -> None:
    shipped = shipped_recipes()
    assert "quickstart" in {recipe.name for recipe in shipped}
    for recipe in shipped:
        assert recipe.title and {"purpose", "hardware", "time", "cost", "command"} <= set(recipe.facts), (
            recipe.name
        )
        assert find_recipe(recipe.name) == recipe.path
        assert Project.init(tmp_path / recipe.name, recipe.name).status().problems == ()
