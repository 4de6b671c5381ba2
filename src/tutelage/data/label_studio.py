"""Label Studio's JSON export of a `Ranker` over a `List` (its LLM Ranker template), both ways.

From its documentation: a task's `data` holds the prompt and `items` with id, title and body; every rater's
annotation holds a result of type `ranker`. Without buckets its value is the ids in order, in a list or under
the tag's name. With buckets it is a list of ids for each, `_` holding what was not sorted. What the order of
buckets means is the project's own: buckets that end in a number are taken as ranks, their items tied; the
template's relevant and biased results are taken in that order, each list ranked; other names say nothing about
which is better, and such an answer is set aside if more than one of them holds items. Predictions come from
models: no judgements.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

from tutelage.core.records import Judgement, Prompt, Response
from tutelage.data.conversations import FieldProblem
from tutelage.data.judged import Origin
from tutelage.data.tasks import (
    CARRIED,
    REASONS,
    Answer,
    Known,
    Task,
    carried_in,
    carry,
    described,
    prompt_fields,
    task_judgement,
    task_prompt,
    task_responses,
)

ITEMS, UNSORTED = "items", "_"
TEMPLATE = ("relevant_results", "biased_results")
"""Buckets of the LLM Ranker template, the better one first."""
_USER = "label-studio-"


class LabelStudio:
    """Tasks with annotations, as a `TaskFormat`."""

    name = "label-studio"
    tool: Literal["label-studio"] = "label-studio"

    def fits(self, row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("data"), Mapping) and _items_name(row["data"]) is not None

    def own_name(self, row: Mapping[str, Any]) -> str:
        said = [str(row[key]) for key in ("project", "id") if row.get(key) not in (None, "")]
        return "/".join(said) if row.get("id") not in (None, "") else ""

    def read(self, row: Mapping[str, Any], origin: Origin, known: Known) -> Task:
        data, field = row["data"], _items_name(row["data"])
        if field is None:
            raise FieldProblem("data", "it holds no list of items with an id")
        carried = carried_in(data.get(CARRIED))
        rest = {name: value for name, value in data.items() if name not in (field, CARRIED)}
        prompt = task_prompt(rest, data, carried, origin)
        texts = {str(item["id"]): (_text(item), str(item.get("model") or "")) for item in data[field]}
        if len(texts) != len(data[field]):
            raise FieldProblem(f"data.{field}", "two of its items have the same id")
        task = Task(prompt, task_responses(prompt, texts, carried, self.tool, known), ())

        def judged(number: int, annotation: Any) -> Judgement | FieldProblem:
            try:
                return task_judgement(_answer(annotation, task), task, carried, origin, data)
            except FieldProblem as problem:
                return FieldProblem(f"annotations[{number}]", problem.reason)

        given = row.get("annotations")
        listed = given if isinstance(given, list) else []
        return replace(task, answers=tuple(judged(n, one) for n, one in enumerate(listed)))

    def blank(self, prompt: Prompt, responses: Mapping[str, Response]) -> dict[str, Any]:
        carried: dict[str, Any] = {"responses": {name: r.id for name, r in responses.items()}}
        data: dict[str, Any] = {**prompt_fields(prompt, carried), **described(prompt)}
        data[ITEMS] = [
            {"id": name, "title": name.replace("-", " ").capitalize(), "body": response.text}
            for name, response in responses.items()
        ]
        return {"data": {**data, CARRIED: carried}, "annotations": [], "predictions": []}

    def drop(self, row: dict[str, Any], places: Collection[int]) -> None:
        row["annotations"] = [one for n, one in enumerate(row["annotations"]) if n not in places]

    def add(self, row: dict[str, Any], judgement: Judgement, names: Mapping[str, str]) -> None:
        tags = next((r for one in row.get("annotations") or [] for r in _rankers(one)), {})
        ranker, listed = tags.get("from_name", "rank"), tags.get("to_name", "answers")
        value = {"ranker": _value(judgement, names, ranker)}
        result = [_result(judgement.id, ranker, listed, "ranker", value)]
        if judgement.reason:
            result.append(
                _result(judgement.id, REASONS[0], "prompt", "textarea", {"text": [judgement.reason]})
            )
        annotation: dict[str, Any] = {"result": result, "was_cancelled": False, "ground_truth": False}
        if judgement.rater.removeprefix(_USER).isdecimal():
            annotation["completed_by"] = int(judgement.rater.removeprefix(_USER))
        if judgement.seconds is not None:
            annotation["lead_time"] = judgement.seconds
        row["annotations"] = [*(row.get("annotations") or []), annotation]
        carried = carried_in(row["data"].get(CARRIED))
        carry(carried, judgement.id, judgement, names)
        row["data"] = {**row["data"], CARRIED: carried}


def _answer(annotation: Any, task: Task) -> Answer:
    if not isinstance(annotation, Mapping):
        raise FieldProblem("", "it is not an object")
    if annotation.get("was_cancelled"):
        raise FieldProblem("", "its rater skipped the task")
    rankers = _rankers(annotation)
    if len(rankers) != 1:
        raise FieldProblem(
            "", f"it holds {len(rankers) or 'no'} ranking{'s' if rankers else ''}: expected one"
        )
    seconds = annotation.get("lead_time")
    return Answer(
        rater=_rater(annotation),
        groups=_groups(rankers[0], task.responses),
        key=str(rankers[0].get("id", "")),
        reason=_reason(annotation),
        seconds=seconds if isinstance(seconds, (int, float)) else None,
    )


def _groups(result: Mapping[str, Any], responses: Collection[str]) -> list[list[str]]:
    """Tie groups of item ids out of a ranker's value. Raises `FieldProblem`."""
    value = result["value"]["ranker"]
    if isinstance(value, list):
        return [[str(item)] for item in value]
    if not isinstance(value, Mapping) or not all(isinstance(items, list) for items in value.values()):
        raise FieldProblem("", "its ranker holds neither a list of ids nor lists of ids by bucket")
    buckets = {str(name): [str(i) for i in items] for name, items in value.items() if name != UNSORTED}
    numbers = {name: int(found[1]) for name in buckets if (found := re.search(r"(\d+)$", name))}
    alone = len(value) == 1 and set(*buckets.values()) == set(responses)
    if buckets and len(numbers) == len(buckets) and not alone:
        return [buckets[name] for name in sorted(numbers, key=numbers.__getitem__) if buckets[name]]
    filled = [name for name, items in buckets.items() if items]
    if len(filled) > 1:
        if not set(filled) <= set(TEMPLATE):
            said = ", ".join(filled)
            raise FieldProblem(
                "", f"which of its buckets ({said}) is better is not said: number them, 1 the best"
            )
        filled.sort(key=TEMPLATE.index)
    return [[item] for name in filled for item in buckets[name]]


def _value(judgement: Judgement, names: Mapping[str, str], ranker: str) -> dict[str, list[str]]:
    """Ids in order under the tag's name; buckets `1`, `2`, ... where there are ties or unranked responses."""
    groups = [[names[i] for i in group] for group in judgement.ranking]
    left = [name for i, name in names.items() if all(i not in group for group in judgement.ranking)]
    if not left and all(len(group) == 1 for group in groups):
        return {ranker: [group[0] for group in groups]}
    return {UNSORTED: left, **{str(rank): group for rank, group in enumerate(groups, start=1)}}


def _items_name(data: Mapping[str, Any]) -> str | None:
    """The field of a task's data that a `List` shows: objects with an id each."""
    for name in (ITEMS, *data):
        listed = data.get(name)
        if isinstance(listed, list) and listed and all(isinstance(i, Mapping) and "id" in i for i in listed):
            return name
    return None


def _text(item: Mapping[str, Any]) -> Any:
    return next((item[key] for key in ("body", "html", "title") if item.get(key) not in (None, "")), None)


def _rankers(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Results of type `ranker` that hold a value."""
    given = annotation.get("result")
    results = [r for r in given if isinstance(r, Mapping)] if isinstance(given, list) else []
    return [
        r
        for r in results
        if r.get("type") == "ranker" and isinstance(r.get("value"), Mapping) and "ranker" in r["value"]
    ]


def _rater(annotation: Mapping[str, Any]) -> str:
    """An e-mail address where the export has one; numbers count within one Label Studio alone."""
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    if who in (None, ""):
        return LabelStudio.name
    return str(who) if "@" in str(who) else f"{_USER}{who}"


def _reason(annotation: Mapping[str, Any]) -> str:
    """What a `TextArea` named reason (or comment, ...) holds."""
    texts = (
        r["value"].get("text")
        for r in annotation["result"]
        if isinstance(r, Mapping) and r.get("type") == "textarea" and isinstance(r.get("value"), Mapping)
        if str(r.get("from_name", "")).lower() in REASONS
    )
    found = next(texts, "")
    return "\n".join(map(str, found)) if isinstance(found, list) else str(found or "")


def _result(name: str, tag: str, shown: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": tag, "to_name": shown, "type": kind, "value": dict(value)}
