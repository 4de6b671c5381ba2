"""Rating tools: what their exports say is what we read, what came in goes out unchanged, and what we say comes back."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from benchmarks.claims.people.says import ANN, ASIDE, BEN, EXPORTS, SAYS, Said
from tutelage.core.records import Judgement, Message, Original, Prompt, Response
from tutelage.data.argilla import user_id
from tutelage.data.conversations import FieldProblem
from tutelage.data.formats import parse_comparisons, parse_prompts
from tutelage.data.judged import Origin
from tutelage.data.rating_tools import FORMATS, read_original, task_format, task_rows, unanswered_row
from tutelage.data.rows import Row
from tutelage.data.tables import LeftOut
from tutelage.data.tasks import Task, nothing_known


def rows_of(name: str) -> list[dict[str, Any]]:
    return json.loads((EXPORTS / f"{name}.json").read_text())


def read(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Original, Task]]:
    return [read_original(row, Origin("here"), nothing_known) for row in rows]


def judgements(tasks: Sequence[Task]) -> list[Judgement]:
    return [answer for task in tasks for answer in task.answers if isinstance(answer, Judgement)]


def out(name: str, came: Sequence[tuple[Original, Task]], said: Sequence[Judgement]) -> list[dict[str, Any]]:
    prompts = {task.prompt.id: task.prompt for _, task in came}
    responses = {r.id: r for _, task in came for r in task.responses.values()}
    rows = task_rows(FORMATS[name], [original for original, _ in came], said, prompts, responses)
    return [row for row in rows if isinstance(row, dict)]


def test_there_is_a_sample_of_every_format() -> None:
    assert {path.stem for path in EXPORTS.glob("*.json")} == set(FORMATS) == set(SAYS)


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_says_what_it_says(name: str) -> None:
    rows = rows_of(name)
    assert all(task_format(row) is FORMATS[name] for row in rows)
    found: list[Said] = []
    aside: list[str] = []
    for _, task in read(rows):
        names = {response.id: own for own, response in task.responses.items()}
        for answer in task.answers:
            if isinstance(answer, FieldProblem):
                aside.append(answer.reason)
            else:
                groups = [[names[i] for i in group] for group in answer.ranking]
                found.append((answer.rater, groups, answer.reason))
                assert set(answer.shown) == set(names) and answer.kind == "person"
    assert (found, aside) == (SAYS[name], ASIDE[name])


@pytest.mark.parametrize("name", FORMATS)
def test_what_came_in_goes_out_unchanged(name: str) -> None:
    rows = rows_of(name)
    came = read(copy.deepcopy(rows))
    assert out(name, came, judgements([task for _, task in came])) == rows


@pytest.mark.parametrize("name", FORMATS)
def test_a_judgement_that_is_gone_goes_out_no_more_and_nothing_else_changes(name: str) -> None:
    """What goes out follows the records: it is no copy of a file."""
    rows = rows_of(name)
    came = read(rows)
    said = judgements([task for _, task in came])
    gone = said[0]
    again = read(out(name, came, said[1:]))
    assert [j.id for j in judgements([task for _, task in again])] == [j.id for j in said[1:]]
    text = json.dumps(out(name, came, said[1:]))
    assert not gone.reason or gone.reason not in text
    assert out(name, came, said[1:])[1:] == rows[1:]


@pytest.mark.parametrize("name", FORMATS)
def test_a_judgement_added_here_stands_beside_the_others(name: str) -> None:
    rows = rows_of(name)
    came = read(rows)
    said = judgements([task for _, task in came])
    task = came[0][1]
    first, second, *_ = task.responses.values()
    shown = tuple(r.id for r in reversed(task.responses.values()))
    added = Judgement(
        task.prompt.id, shown, ((second.id,), (first.id,)), "zoe", reason="so", seconds=7.0, guideline="v3"
    )
    fresh = out(name, came, [*said, added])
    assert fresh[1:] == rows[1:] and fresh[0] != rows[0]
    # the rest of the row is what it was: taking the addition out again gives the row that came
    original, again = read_original(fresh[0], Origin("here"), {r.id: r for r in task.responses.values()}.get)
    assert again.answers[-1] == added
    assert [a.id for a in again.answers[:-1] if isinstance(a, Judgement)] == [
        a.id for a in task.answers if isinstance(a, Judgement)
    ]
    assert original.id == came[0][0].id  # the same row to the tool, so a later import takes its place


PROMPTS = {
    "plain": (Message("user", "Why is the sky blue?"),),
    "with a system message": (Message("system", "Be brief."), Message("user", "Why?")),
    "a conversation": (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Why?")),
    "text that looks like turns": (Message("user", "Human: no\n\nAssistant: yes"),),
    "two turns of one speaker": (Message("user", "one"), Message("user", "two")),
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("name", FORMATS)
def test_what_we_say_comes_back_the_same(name: str, prompt: tuple[Message, ...]) -> None:
    """Ties, unranked and unshown responses, order, time, scores, raters by name: the ids are the same."""
    asked = Prompt(prompt, source="web", category="explain", split="reward")
    a, b, c, d = (Response(asked.id, t, p, {"temperature": 0.7}) for t, p in zip("xyzx", "pqrs"))
    said = [
        Judgement(
            asked.id, (b.id, a.id, c.id), ((a.id,), (b.id, c.id)), "kim", reason="a\nb", split="reward"
        ),
        Judgement(
            asked.id,
            (d.id, c.id, a.id, b.id),
            ((d.id,), (a.id,)),
            ANN,
            seconds=12.5,
            guideline="v2",
            scores={a.id: {"helpful": 3}, "outcome": "ranked"},
            split="reward",
        ),
        Judgement(asked.id, (a.id, b.id), ((a.id,), (b.id,)), "label-studio-7", split="reward"),
    ]
    responses = {r.id: r for r in (a, b, c, d)}
    (row,) = task_rows(FORMATS[name], [], said, {asked.id: asked}, responses)
    assert isinstance(row, dict)
    row = json.loads(json.dumps(row))
    original, task = read_original(row, Origin("here"), responses.get)
    assert original.format == name
    assert task.prompt == asked and {r.id for r in task.responses.values()} == set(responses)
    assert list(task.answers) == said
    assert not any(policy in json.dumps(row).split('"') for policy in "pqrs")  # raters stay blind


@pytest.mark.parametrize("name", FORMATS)
def test_a_task_that_nobody_ranked_asks_for_it(name: str) -> None:
    asked = Prompt.of("Why?")
    responses = [Response(asked.id, text, "p") for text in ("x", "y", "z")]
    row = unanswered_row(FORMATS[name], asked, responses)
    original, task = read_original(row, Origin("here"), {r.id: r for r in responses}.get)
    assert (task.prompt.id, task.answers, original.judgement_ids) == (asked.id, (), ())
    assert list(task.responses) == ["response-1", "response-2", "response-3"]
    assert [r.id for r in task.responses.values()] == sorted(r.id for r in responses)
    (aside,) = parse_comparisons([Row(row, "f.json", 1)]).set_aside
    assert aside.reason == "nobody has ranked it yet"
    assert [p.id for p in parse_prompts([Row(row, "f.json", 1)]).records] == [asked.id]


def test_models_and_second_thoughts_are_left_out_and_told() -> None:
    asked = Prompt.of("Why?")
    a, b = (Response(asked.id, text, "p") for text in ("x", "y"))
    one = Judgement(asked.id, (a.id, b.id), ((a.id,), (b.id,)), "kim")
    other = Judgement(asked.id, (a.id, b.id), ((b.id,), (a.id,)), "kim")
    judge = Judgement(asked.id, (a.id, b.id), ((a.id,), (b.id,)), "a judge", kind="ai")
    told = [one, other, judge]
    for name, kept in (("argilla", 1), ("label-studio", 2)):
        rows = list(task_rows(FORMATS[name], [], told, {asked.id: asked}, {a.id: a, b.id: b}))
        assert len([row for row in rows if isinstance(row, LeftOut)]) == 3 - kept
        (row,) = [row for row in rows if isinstance(row, dict)]
        assert len(FORMATS[name].read(row, Origin("here"), nothing_known).answers) == kept


def test_raters_have_an_id_that_argilla_takes() -> None:
    assert user_id(ANN) == ANN
    assert user_id("kim") == user_id("kim") != user_id("ben") and len(user_id("kim")) == 36


def record(fields: Mapping[str, str], *values: Any, question: str = "ranking") -> dict[str, Any]:
    answers = [{"value": value, "user_id": ANN} for value in values]
    return {"id": "1", "fields": dict(fields), "metadata": {}, "responses": {question: answers}}


THREE = {"prompt": "Why?", "response-1": "x", "response-2": "y", "response-3": "z"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (record(THREE, ["response-1"]), "fewer than two"),
        (record(THREE, ["response-1", "response-9"]), "ranks 'response-9'"),
        (
            record(THREE, [{"value": "other-9", "rank": 1}, {"value": "response-1", "rank": 2}]),
            "ranks 'other-9'",
        ),
        (record(THREE, [{"value": "response-1", "rank": "1"}]), "is '1', not a whole number"),
        (record(THREE, ["response-1", "response-1"]), "twice"),
    ],
)
def test_an_argilla_answer_that_cannot_be_used_says_why(row: dict[str, Any], reason: str) -> None:
    good = row["responses"]["ranking"]
    good.append({"value": ["response-2", "response-1"], "user_id": BEN})
    found = parse_comparisons([Row(row, "f.json", 4)])
    assert [j.judgement.rater for j in found.records] == [BEN]
    (aside,) = found.set_aside
    assert (aside.file, aside.line, aside.field) == ("f.json", 4, "ranking[0]") and reason in aside.reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"prompt": "Why?", "response-1": "x", "response-2": "x"}, "same text as response-1"),
        ({"prompt": "Why?", "response-1": "x", "response-2": ""}, "it is empty"),
        ({"area": "sky", "place": "home", "response-1": "x", "response-2": "y"}, "none is named prompt"),
        ({"prompt": "Why?", "response-1": "x"}, "there is one: expected at least two"),
    ],
)
def test_an_argilla_record_that_cannot_be_used_says_why(fields: dict[str, str], reason: str) -> None:
    found = parse_comparisons([Row(record(fields, ["response-1", "response-2"]), "f.json", 1)])
    assert found.records == () and reason in found.set_aside[0].reason


def test_options_that_differ_from_fields_in_name_alone() -> None:
    fields = {"instruction": "Why?", "completion_a": "x", "completion_b": "y", "completion_c": "z"}
    row = record(fields, [{"value": "reply-b", "rank": 1}, {"value": "reply-a", "rank": 2}])
    _, task = read_original(row, Origin("here"), nothing_known)
    assert {name: r.text for name, r in task.responses.items()} == {
        "reply-a": "x",
        "reply-b": "y",
        "reply-c": "z",
    }
    (answer,) = judgements([task])
    assert [[task.responses["reply-b"].id], [task.responses["reply-a"].id]] == [
        list(g) for g in answer.ranking
    ]


def test_a_second_ranking_question_is_told_and_kept() -> None:
    row = record(THREE, ["response-1", "response-2", "response-3"])
    row["responses"]["harmless"] = [{"value": ["response-3", "response-2", "response-1"], "user_id": ANN}]
    original, task = read_original(row, Origin("here"), nothing_known)
    problem = task.answers[1]
    assert isinstance(problem, FieldProblem) and "second ranking question" in problem.reason
    assert out("argilla", [(original, task)], judgements([task])) == [row]


def ranked(value: Any, *more: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    items = [{"id": i, "title": i, "body": f"text {i}"} for i in "abc"]
    result = [
        {"from_name": "rank", "to_name": "answers", "type": "ranker", "value": {"ranker": value}},
        *more,
    ]
    return {
        "id": 1,
        "data": {"prompt": "Why?", "items": items},
        "annotations": [{"result": result, **annotation}],
    }


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["b", "a", "c"], [["b"], ["a"], ["c"]]),
        ({"rank": ["b", "a", "c"]}, [["b"], ["a"], ["c"]]),
        ({"ranker-1": ["b", "a", "c"]}, [["b"], ["a"], ["c"]]),  # a tag's name that ends in a number
        ({"_": ["c"], "best": ["b", "a"]}, [["b"], ["a"]]),
        ({"_": [], "rank_2": ["b"], "rank_10": ["c"], "rank_1": ["a"]}, [["a"], ["b"], ["c"]]),
        ({"_": [], "1": ["a", "b", "c"]}, [["a", "b", "c"]]),
        ({"biased_results": ["a"], "relevant_results": ["c", "b"]}, [["c"], ["b"], ["a"]]),
    ],
)
def test_what_a_ranker_says(value: Any, groups: list[list[str]]) -> None:
    _, task = read_original(ranked(value), Origin("here"), nothing_known)
    names = {response.id: name for name, response in task.responses.items()}
    (answer,) = judgements([task])
    assert [[names[i] for i in group] for group in answer.ranking] == groups


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ranked({"_": ["a", "b", "c"]}), "fewer than two"),
        (ranked({"best": ["a"], "ads": ["b"]}), "which of its buckets (best, ads) is better is not said"),
        (ranked(["a", "z"]), "it ranks 'z', and the responses are a, b, c"),
        (ranked("a"), "neither a list of ids"),
        (
            ranked(["a", "b"], ranked(["b", "a"])["annotations"][0]["result"][0]),
            "holds 2 rankings: expected one",
        ),
        (ranked(["a", "b"], was_cancelled=True), "its rater skipped the task"),
    ],
)
def test_an_annotation_that_cannot_be_used_says_why(row: dict[str, Any], reason: str) -> None:
    (aside,) = parse_comparisons([Row(row, "f.json", 2)]).set_aside
    assert aside.field == "annotations[0]" and reason in aside.reason


def test_the_named_format_is_the_one_that_is_read() -> None:
    plain = {"prompt": "Why?", "chosen": "x", "rejected": "y"}
    for format in ("argilla", "label-studio"):
        (aside,) = parse_comparisons([Row(plain, "f.json", 1)], format).set_aside  # type: ignore[arg-type]
        assert "neither an Argilla record nor a Label Studio task" in aside.reason


def test_a_limit_counts_rows_and_not_raters() -> None:
    rows = [Row(row, "f.json", n) for n, row in enumerate(rows_of("argilla"), start=1)]
    assert len(parse_comparisons(rows, limit=1).records) == 2


JUNK: tuple[Any, ...] = (None, 7, "", "x", [], [None], {}, {"value": 1}, [["x"]], True, [{"id": None}])


@pytest.mark.parametrize(
    "carried", [7, [], {"judgements": 7, "responses": [], "messages": {}}, {"judgements": {ANN: 7}}]
)
def test_what_others_put_under_our_name_does_no_harm(carried: Any) -> None:
    told = record(THREE, ["response-1", "response-2", "response-3"])
    told["metadata"]["tutelage"] = json.dumps(carried)
    task = ranked(["b", "a", "c"])
    task["data"]["tutelage"] = carried
    for row in (told, task):
        _, found = read_original(row, Origin("here"), nothing_known)
        (answer,) = judgements([found])
        assert len(answer.ranking) == len(answer.shown) == 3


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@pytest.mark.parametrize("name", FORMATS)
def test_junk_in_any_place_is_set_aside_and_never_a_fault(name: str) -> None:
    for row in rows_of(name):
        for path in places(row)[1:]:
            for junk in JUNK:
                damaged = copy.deepcopy(row)
                *before, last = path
                inner = damaged
                for key in before:
                    inner = inner[key]
                inner[last] = junk
                found = parse_comparisons([Row(damaged, "f.json", 1)])
                assert found.records or found.set_aside
                try:
                    original, task = read_original(damaged, Origin("here"), nothing_known)
                except FieldProblem:
                    continue
                assert len(out(original.format, [(original, task)], judgements([task]))) == 1
