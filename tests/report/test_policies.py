"""The page of a recipe with several policies: each is there, none is taken for another."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.report.made_up_project import made_up_recipe, make_project, stages_for
from tests.report.test_build import Page
from tutelage.core.methods import METHODS
from tutelage.report.build import build_report
from tutelage.report.glossary import MEASURES

ALL = tuple(METHODS)


def _build(root: Path, policies: tuple[str, ...]) -> tuple[Page, str, dict]:
    folders = make_project(root / "project", stages_for(policies), policies)
    recipe = made_up_recipe(policies)
    page = build_report(root / "project", folders, recipe.report, recipe, root / "report")
    text = page.read_text(encoding="utf-8")
    return Page(text), text, json.loads((root / "report" / "summary.json").read_text())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, dict]:
    return _build(tmp_path_factory.mktemp("all"), ALL)


def test_every_model_has_its_column_its_numbers_and_its_answers(built: tuple[Page, str, dict]) -> None:
    page, text, summary = built
    assert list(summary)[: 2 + len(ALL)] == ["base", "sft", *ALL]
    for model in ("base", "sft", *ALL):
        assert set(summary[model]) == {m.key for m in MEASURES}
        assert all(f"{model}-{m.key}" in page.values for m in MEASURES)
    labels = ["Base", "SFT", *(METHODS[name].label for name in ALL)]
    for label in labels:
        assert text.count(f'<div class="who">{label}</div>') == 20
    assert re.findall(r'<th scope="col"><svg class="swatch".*?</svg>([\w ]+)</th>', text) == labels


def test_the_page_parses_with_every_id_once(built: tuple[Page, str, dict]) -> None:
    page, _, summary = built
    assert len(page.ids) == len(set(page.ids))
    assert set(summary["artifacts"]) == set(stages_for(ALL))
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert all(link[1:] in page.ids for link in links)


def test_each_kind_has_the_curves_that_it_logs(built: tuple[Page, str, dict]) -> None:
    _, text, _ = built
    for method in METHODS.values():
        assert f"<h3>{method.long_name[0].upper()}{method.long_name[1:]}</h3>" in text
        wanted = ("reward", "kl", "frontier") if method.kind == "online" else ("loss", "accuracy", "margin")
        for key in wanted:
            assert f'aria-labelledby="{method.name}-{key}-title' in text
        assert (f"More of what {method.label} logs" in text) == (method.kind == "online")
    assert 'aria-labelledby="frontiers-title' in text
    assert "64.0% of 196 comparisons it never saw" in text
    # margin 0.77, mean of all -0.87: the better response's own reward is -0.87 + 0.38, below zero
    assert "Both sides of pairs lost probability" in text


def test_the_last_named_is_what_the_opening_is_about(tmp_path: Path) -> None:
    for policies in (("ppo", "dpo"), ("dpo", "ppo")):
        first, last = (METHODS[name].label for name in policies)
        page, _, _ = _build(tmp_path / last, policies)
        opening = page.text[: page.text.index("The figures")]
        assert f"on the same prompts, the model after {last} is" in opening
        assert f"Compared with {first}, {last} is" in opening or f"apart from {first}" in opening


def test_without_an_online_policy_no_reward_model_is_spoken_of(tmp_path: Path) -> None:
    page, text, summary = _build(tmp_path, ("dpo",))
    assert "reward" not in summary["artifacts"]
    assert "No policy of this project learned from a reward model" in page.text
    assert "it only evaluates: no policy learned from its scores" in page.text
    assert "The reward is a rough stand-in" not in page.text
    assert "PPO" not in page.text
    assert "This stage left no log" not in page.text
    assert 'aria-labelledby="dpo-loss-title' in text
