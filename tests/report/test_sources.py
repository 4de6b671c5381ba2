"""Reading what stages left: missing is fine, damaged is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.report.made_up_project import make_project
from tutelage.core.errors import StoreError
from tutelage.report.examples import SHARES, side_by_side
from tutelage.report.sources import Answer, Evaluation, read_evaluation, read_sources, series


def _write_answers(folder: Path, *rows: dict[str, object]) -> None:
    (folder / "answers").mkdir(parents=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "answers" / "ppo.jsonl").write_text(text, encoding="utf-8")
    (folder / "summary.json").write_text("{}")


def test_nothing_at_all_is_read_as_nothing(tmp_path: Path) -> None:
    found = read_sources(dict.fromkeys(("data", "sft", "judge", "reward", "evaluate"), tmp_path))
    assert (found.evaluation, found.judge, found.data) == (None, None, None)
    assert not found.artifacts and not found.measured


def test_values_that_are_not_numbers_are_left_out() -> None:
    lines = [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": None},
        {"step": 3},
        {"step": 4, "loss": float("nan")},
    ]
    assert series(lines, "loss") == [(1, 0.5)]


def test_an_answer_may_hold_any_line_separator(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\nfour"
    _write_answers(tmp_path, {"set": "harmful", "item": "h1", "prompt": "p", "answer": text, "verdict": None})
    found = read_evaluation(tmp_path)
    assert found is not None
    assert [a.text for a in found.answers["ppo"]] == [text]


@pytest.mark.parametrize("damage", ["{", "[]", '{"set": "harmful", "item": "x"}'])
def test_a_damaged_answer_is_named_by_file_and_line(tmp_path: Path, damage: str) -> None:
    _write_answers(tmp_path, {"set": "harmful", "item": "h1", "prompt": "p", "answer": "a"})
    with (tmp_path / "answers" / "ppo.jsonl").open("a") as stream:
        stream.write(damage + "\n")
    with pytest.raises(StoreError, match=r"ppo\.jsonl:2 is not an answer"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("evaluate", "summary.json"),
        ("reward", "measured.json"),
        ("judge", "judge.json"),
        ("data", "data_report.json"),
    ],
)
@pytest.mark.parametrize("damage", ['{"a": ', "[1]"])
def test_a_damaged_file_is_named(tmp_path: Path, stage: str, name: str, damage: str) -> None:
    folders = make_project(tmp_path)
    (folders[stage] / name).write_text(damage)
    with pytest.raises(StoreError, match=name):
        read_sources(folders)


def _evaluation(sizes: dict[str, int]) -> Evaluation:
    rows: list[Answer] = []
    for kind, size in sizes.items():
        sounds = kind == "sounds_harmful"
        name = "benign" if sounds else kind
        rows += [Answer(name, f"{kind}-{i}", "p", "a", "", "", sounds) for i in range(size)]
    return Evaluation({}, {}, answers={"base": rows, "ppo": list(reversed(rows))})


def test_twenty_prompts_in_their_shares() -> None:
    groups = side_by_side(_evaluation(dict.fromkeys(SHARES, 50)), 20)
    assert [len(group.shown) for group in groups] == [6, 5, 5, 4]


def test_what_one_kind_lacks_the_others_make_up() -> None:
    groups = side_by_side(_evaluation({"harmful": 1, "sounds_harmful": 50, "helpful": 50}), 20)
    assert sum(len(group.shown) for group in groups) == 20
    assert len(groups[0].shown) == 1
    few = side_by_side(_evaluation({"harmful": 2, "helpful": 1}), 20)
    assert sum(len(group.shown) for group in few) == 3


def test_the_choice_does_not_hang_on_the_order_of_the_file() -> None:
    found = _evaluation(dict.fromkeys(SHARES, 30))
    turned = Evaluation({}, {}, answers={m: list(reversed(rows)) for m, rows in found.answers.items()})
    assert side_by_side(found, 20) == side_by_side(turned, 20)


def test_only_prompts_that_every_model_answered_are_shown() -> None:
    found = _evaluation({"harmful": 5})
    partly = Evaluation({}, {}, answers={"base": found.answers["base"][:2], "ppo": found.answers["ppo"]})
    assert sum(len(group.shown) for group in side_by_side(partly, 20)) == 2
