"""The shipped recipes: where they lie, what their heads say, and finding one by name or file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tutelage.core.errors import RecipeError


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe file and its head: `facts` are the lines `Word   text` of its opening comment."""

    name: str
    path: Path
    title: str
    facts: dict[str, str]


def recipes_folder() -> Path:
    """Inside the installed package, or the repository's own folder in an editable install."""
    package = Path(str(resources.files("tutelage")))
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parents[1] / "recipes"


def shipped_recipes(folder: Path | None = None) -> list[ShippedRecipe]:
    """All shipped recipes by name."""
    return [read_head(path) for path in sorted((folder or recipes_folder()).glob("*.yaml"))]


def read_head(path: Path) -> ShippedRecipe:
    """A recipe's name and opening comment; nothing else of it is read."""
    comment: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").removeprefix(" ").rstrip())
    facts: dict[str, str] = {}
    word = ""
    title: list[str] = []
    for line in comment:
        if found := re.fullmatch(r"([A-Z][a-z]+)\s{2,}(\S.*)", line):
            word = found[1].lower()
            facts[word] = found[2]
        elif word and line.startswith("  "):
            facts[word] += f" {line.strip()}"
        elif not facts and line:
            title.append(line)
    return ShippedRecipe(path.stem, path, " ".join(title), facts)


def find_recipe(name: str) -> Path:
    """The file of a shipped recipe, or `name` itself where it is a file. Raises `RecipeError`."""
    if name.endswith((".yaml", ".yml")):
        if Path(name).expanduser().is_file():
            return Path(name).expanduser()
        raise RecipeError(
            f"there is no recipe file {name}: give the path of one, or a name from `tutelage recipes list`"
        )
    shipped = {recipe.name: recipe.path for recipe in shipped_recipes()}
    plain = name.replace("_", "-")
    if plain not in shipped:
        raise RecipeError(f"there is no recipe '{name}': shipped are {', '.join(shipped)}")
    return shipped[plain]


def check_recipe(name: str) -> list[str]:
    """Check a recipe by name or file; returns lines that say what it would do.

    Raises `RecipeError` or `DataError`.
    """
    from tutelage.core.recipe import recipe_from
    from tutelage.pipeline import cost
    from tutelage.pipeline.graph import stages_of
    from tutelage.pipeline.sources import find_sources
    from tutelage.pipeline.table import duration

    path = find_recipe(name)
    recipe = recipe_from(path)
    sources = find_sources(recipe.data, path.parent, remember=False)
    sources.require()
    data = cost.amounts(recipe, sources)
    seconds = sum(cost.estimate(stage.name, recipe, data, []).seconds for stage in stages_of(recipe))
    counted = ", ".join(
        f"{data.rows[group]:,} {group}" for group in ("demonstrations", "comparisons", "prompts")
    )
    return [
        f"{path} is a good recipe: {recipe.model.base}, {recipe.model.tune}, {' and '.join(recipe.policies)}",
        f"data: {counted}",
        f"time here: about {duration(seconds)} (from a default speed, rough)",
    ]
