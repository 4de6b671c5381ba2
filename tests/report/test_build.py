"""The page as a reader gets it: whole, safe, honest about what is missing, and the same every time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from tests.evals.evaluated import rows_of
from tests.report.made_up_project import NEEDS, SCRIPT, made_up_recipe, make_project
from tutelage.core.recipe import Recipe
from tutelage.core.settings import HumansSettings
from tutelage.evals.human import prepare_round
from tutelage.evals.human_scoring import Answered, results
from tutelage.report.build import build_report
from tutelage.report.glossary import MEASURES
from tutelage.report.numbers import percent, points

VOID = {"meta", "br", "img", "link", "input", "hr"}
LEAVE_OPEN = {"line", "circle", "rect", "polygon", "polyline"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its order, every id is unique."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.ids: list[str] = []
        self.values: dict[str, tuple[str, str]] = {}
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        plain = {k: v or "" for k, v in attrs}
        self.tags.append((tag, plain))
        if "id" in plain:
            self.ids.append(plain["id"])
        if tag == "data":
            self._inside = plain["id"]
            self.values[self._inside] = (plain["value"], "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in LEAVE_OPEN
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "data":
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title", "desc"):
            self.words.append(data)
        if self._inside:
            self.values[self._inside] = (self.values[self._inside][0], data.strip())

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def _build(root: Path, stages: tuple[str, ...] = tuple(NEEDS)) -> tuple[Page, str, dict]:
    folders, recipe = make_project(root / "project", stages), made_up_recipe()
    page = build_report(root / "project", folders, recipe.report, recipe, root / "report")
    assert page == root / "report" / "index.html"
    text = page.read_text(encoding="utf-8")
    return Page(text), text, json.loads((root / "report" / "summary.json").read_text())


def _again(root: Path, folders: dict[str, Path]) -> Page:
    """The page of artifacts in which a test changed something."""
    recipe = made_up_recipe()
    page = build_report(root / "project", folders, recipe.report, recipe, root / "report")
    return Page(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, dict]:
    return _build(tmp_path_factory.mktemp("whole"))


def test_the_page_parses_and_its_links_lead_somewhere(built: tuple[Page, str, dict]) -> None:
    page, _, _ = built
    assert len(page.ids) == len(set(page.ids))
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links and all(link.startswith("#") and link[1:] in page.ids for link in links)


def test_the_page_needs_nothing_from_outside(built: tuple[Page, str, dict]) -> None:
    page, text, _ = built
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
    for _, attrs in page.tags:
        assert set(attrs).isdisjoint({"src", "srcset", "action", "formaction", "background"})
        assert not any(name.startswith("on") for name in attrs)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    policy = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_what_a_model_wrote_is_text(built: tuple[Page, str, dict]) -> None:
    page, text, _ = built
    assert SCRIPT in page.words
    assert "<script" not in text and "<img" not in text


def test_every_number_of_the_summary_stands_on_the_page(built: tuple[Page, str, dict]) -> None:
    page, _, summary = built
    for model in ("base", "sft", "ppo"):
        assert set(summary[model]) == {m.key for m in MEASURES}
        for key, estimate in summary[model].items():
            assert set(estimate) == {"value", "low", "high", "n"}
            value, written = page.values[f"{model}-{key}"]
            assert float(value) == estimate["value"]
            assert written == percent(estimate["value"])
            if estimate["low"] < estimate["high"]:  # the base's win rate is 1/2 by definition
                ends = f"{percent(estimate['low'])[:-1]} to {percent(estimate['high'])}, n {estimate['n']}"
                assert ends in page.text
    assert len(page.values) == 3 * len(MEASURES)
    for between in ("sft_vs_base", "ppo_vs_base"):
        for change in summary["paired"][between].values():
            assert f"{points(change['difference'])} points" in page.text
            assert f"95%: {points(change['low'])} to {points(change['high'])}" in page.text


def test_each_change_is_told_by_a_word(built: tuple[Page, str, dict]) -> None:
    _, text, summary = built
    paired = summary["paired"]
    words = [c["verdict"] for between in ("sft_vs_base", "ppo_vs_base") for c in paired[between].values()]
    for word in set(words):
        kind = word.split()[0]
        shown = re.findall(rf'class="verdict {kind}"><span aria-hidden="true">.</span> {word}<', text)
        assert len(shown) == words.count(word)


def test_lineage_names_artifacts_seeds_people_and_sources(built: tuple[Page, str, dict]) -> None:
    page, _, summary = built
    assert set(summary["artifacts"]) == set(NEEDS)
    for artifact in summary["artifacts"].values():
        assert f"artifact-{artifact}" in page.ids
    for said in (
        "person 'authors'",
        "168 judgements, guideline starter-1",
        "pack:starter",
        "v0.1.0-3-gabc1234",
    ):
        assert said in page.text
    for measure in MEASURES:
        assert f"from-{measure.key}" in page.ids


def test_every_figure_has_title_description_and_caption(built: tuple[Page, str, dict]) -> None:
    _, text, _ = built
    drawings = re.findall(r'<svg class="plot".*?</svg>', text, flags=re.DOTALL)
    assert len(drawings) > 20
    assert all("<title id=" in drawing and "<desc id=" in drawing for drawing in drawings)
    assert text.count("<figure>") == text.count("<figcaption>") > 15
    assert "<figcaption></figcaption>" not in text


def test_headings_do_not_skip_a_level(built: tuple[Page, str, dict]) -> None:
    page, _, _ = built
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_sections_stand_in_their_order(built: tuple[Page, str, dict]) -> None:
    page, _, _ = built
    wanted = ["answer", "measures", "limits", "curves", "distance", "calibration"]
    wanted += ["ai-judge", "answers", "data", "lineage", "recipe", "glossary"]
    assert [i for i in page.ids if i in wanted] == wanted


def test_the_same_artifacts_give_the_same_bytes(tmp_path: Path) -> None:
    folders, recipe = make_project(tmp_path / "project"), made_up_recipe()
    pages = [
        build_report(tmp_path / "project", folders, recipe.report, recipe, tmp_path / name).read_bytes()
        for name in ("one", "two")
    ]
    assert pages[0] == pages[1]
    assert str(tmp_path).encode() not in pages[0]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ((), "There is no evaluation yet"),
        (("data",), "PPO has not run in this project"),
        (("data", "sft", "sample"), "it is not known whether an AI judge was used"),
        (("data", "sft", "sample", "judge", "reward"), "No trained model has been evaluated yet"),
        (("evaluate",), "The data stage left no report"),
        (tuple(s for s in NEEDS if s != "referee"), "How often it agrees with people was not measured"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, stages: tuple[str, ...], said: str) -> None:
    page, _, summary = _build(tmp_path, stages)
    assert said in page.text
    assert ("evaluate" in stages) == bool(summary["base"])


def test_an_evaluation_of_the_base_alone(tmp_path: Path) -> None:
    folders = make_project(tmp_path / "project")
    path = folders["evaluate"] / "summary.json"
    path.write_text(json.dumps({"base": json.loads(path.read_text())["base"], "paired": {}}))
    page = _again(tmp_path, folders)
    assert "nothing to say about what got better" in page.text
    assert "base-honesty" in page.values and "ppo-honesty" not in page.values


@pytest.mark.parametrize("used", [True, False])
def test_which_way_the_ai_judge_went(tmp_path: Path, used: bool) -> None:
    folders = make_project(tmp_path / "project")
    path = folders["judge"] / "judge.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"used": used}))
    page = _again(tmp_path, folders)
    assert ("passed, so its labels were used" in page.text) == used
    assert ("failed, so its labels train nothing" in page.text) != used


def test_closed_rounds_of_people_are_told_with_their_numbers(tmp_path: Path) -> None:
    answers = {model: rows_of(model) for model in ("base", "ppo")}
    settings = HumansSettings(prompts=20, raters=1)
    made = prepare_round(answers, settings, evaluation="e" * 16, number=1, seed=1)
    # ppo wins 18 prompts of 20, and loses two
    judged = [Answered(u.unit, "ada", _order(u.responses, n > 1), {}) for n, u in enumerate(made.units)]
    round_ = replace(results(made.round, made.units, judged), closed="2026-02-01T00:00:00+00:00")
    folders, recipe = make_project(tmp_path / "project", tuple(NEEDS)), made_up_recipe()
    target = tmp_path / "report"
    page = build_report(tmp_path / "project", folders, recipe.report, recipe, target, people=[round_])
    (told,) = json.loads((target / "summary.json").read_text())["human"]["ppo_vs_base"]
    assert (told["wins"], told["ties"], told["losses"], told["n"], told["raters"]) == (18, 0, 2, 20, 1)
    assert told["value"] == 0.9 and told["low"] > 0.5 and told["conclusion"] == "above"
    text = Page(page.read_text(encoding="utf-8"))
    assert "PPO is preferred to Base: PPO wins 90.0%" in text.text and "people" in text.ids
    assert ("a", "#people") in [(tag, attrs.get("href")) for tag, attrs in text.tags]
    assert "human" not in json.loads(_plain_report(tmp_path, folders, recipe).read_text())


def _order(responses: tuple[str, ...], second: bool) -> list[list[str]]:
    against, model = responses
    return [[model], [against]] if second else [[against], [model]]


def _plain_report(root: Path, folders: dict[str, Path], recipe: Recipe) -> Path:
    page = build_report(root / "project", folders, recipe.report, recipe, root / "plain")
    assert "people" not in Page(page.read_text(encoding="utf-8")).ids
    return page.parent / "summary.json"
