"""docs/recipe.md and docs/cli.md are what scripts/docs.py would write now, and leave nothing out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel, Field

ROOT = Path(__file__).resolve().parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scripts_docs", ROOT / "scripts" / "docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _load()


@pytest.mark.parametrize("name", docs.PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    assert name not in docs.stale(), "run: python scripts/docs.py"


def test_every_setting_stands_in_the_page() -> None:
    from tutelage.core.recipe import Recipe

    page = (ROOT / "docs" / "recipe.md").read_text()
    for name, _, _ in docs.settings(Recipe, ""):
        group, _, rest = name.partition(".")
        within = rest.removeprefix("optim.") if rest.startswith("optim.") else rest or group
        assert f"`{within}`" in page or f"`{rest}`" in page, name


def test_a_setting_without_a_word_is_an_error() -> None:
    class Group(BaseModel):
        said: int = Field(1, description="how many")
        unsaid: int = 2

    rows = list(docs.settings(Group, ""))
    assert docs.words(rows[0][1], rows[0][2]) == "how many"
    with pytest.raises(KeyError, match=r"Group\.unsaid"):
        docs.words(rows[1][1], rows[1][2])


def test_no_word_is_left_over_for_a_setting_that_is_gone() -> None:
    from tutelage.core.recipe import Recipe
    from tutelage.core.settings import Source

    known = {
        key.removeprefix("Recipe.") for _, key, _ in [*docs.settings(Recipe, ""), *docs.settings(Source, "")]
    }
    assert set(docs.WORDS) <= known


def test_bounds_are_in_words() -> None:
    from tutelage.core.settings import SampleSettings

    assert (
        docs.kind(SampleSettings.model_fields["responses_per_prompt"])
        == "whole number, at least 2, at most 9"
    )
    assert docs.kind(SampleSettings.model_fields["top_p"]) == "number, above 0, at most 1"


def test_every_verb_has_a_section() -> None:
    from tutelage.cli.group import VERBS

    page = (ROOT / "docs" / "cli.md").read_text()
    assert all(f"### tutelage {verb}\n" in page for verb in VERBS)
