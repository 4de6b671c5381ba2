"""Rating tools' rows in and out: which format a row has, and what goes out for what is stored.

A row that came in goes out as it came, less the answers whose judgement is gone and with those that were added
here. Since a judgement's id is made from what it says, one that is still there says what the row says. Prompts
that no row came in for get a new row.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tutelage.core.hashing import content_id
from tutelage.core.records import Judgement, Original, Prompt, Response
from tutelage.data.argilla import ARGILLA
from tutelage.data.conversations import FieldProblem
from tutelage.data.judged import Judged, Origin
from tutelage.data.label_studio import LabelStudio
from tutelage.data.tables import LeftOut
from tutelage.data.tasks import Known, Task, TaskFormat, blank_names, nothing_known

FORMATS: dict[str, TaskFormat] = {f.name: f for f in (*ARGILLA, LabelStudio())}
"""By name: Argilla's four shapes and Label Studio's."""
NOBODY = "nobody has ranked it yet"


def task_format(row: Mapping[str, Any]) -> TaskFormat | None:
    """The format of one row; None if it is of no rating tool."""
    return next((f for f in FORMATS.values() if f.fits(row)), None)


def judged_task(row: Mapping[str, Any], origin: Origin) -> Iterator[Judged | FieldProblem]:
    """Every rater's judgement in a row, and why an answer is none."""
    found = task_format(row)
    if found is None:
        raise FieldProblem("", "it is neither an Argilla record nor a Label Studio task with items")
    task = found.read(row, origin, nothing_known)
    if not task.answers:
        yield FieldProblem("", NOBODY)
    for answer in task.answers:
        if isinstance(answer, FieldProblem):
            yield answer
        else:
            yield Judged(task.prompt, tuple(task.responses.values()), answer)


def read_original(row: Mapping[str, Any], origin: Origin, known: Known) -> tuple[Original, Task]:
    """A row with what it says, to be kept (what is no JSON, such as a date of a Parquet file, as text).

    Raises `FieldProblem`.
    """
    row = json.loads(json.dumps(row, default=str))
    found = task_format(row)
    if found is None:
        raise FieldProblem("", "it is neither an Argilla record nor a Label Studio task with items")
    task = found.read(row, origin, known)
    original = Original(
        prompt_id=task.prompt.id,
        format=found.name,
        name=found.own_name(row) or content_id("row", row),
        content=row,
        responses={name: response.id for name, response in task.responses.items()},
        judgement_ids=tuple("" if isinstance(a, FieldProblem) else a.id for a in task.answers),
    )
    return original, task


def task_rows(
    format: TaskFormat,
    originals: Iterable[Original],
    judgements: Iterable[Judgement],
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
) -> Iterator[dict[str, Any] | LeftOut]:
    """Rows of one format: those that came in it, by their names there, then new ones, by prompt.

    Only people's judgements go out.
    """
    told = list(judgements)
    came = sorted((o for o in originals if o.format == format.name), key=lambda o: _natural(o.name))
    there, placed = {j.id for j in told}, {i for original in came for i in original.judgement_ids}
    waiting: dict[str, list[Judgement]] = {}
    for judgement in told:
        if judgement.kind != "person":
            yield LeftOut("judgements by models: the tool's answers are people's")
        elif judgement.id not in placed:
            waiting.setdefault(judgement.prompt_id, []).append(judgement)
    for original in came:
        row, left = _renewed(format, original, there, waiting.pop(original.prompt_id, []))
        waiting[original.prompt_id] = left
        yield row
    for prompt_id in sorted(waiting):
        if waiting[prompt_id]:
            yield from _fresh(format, prompts[prompt_id], waiting[prompt_id], responses)


def unanswered_row(format: TaskFormat, prompt: Prompt, responses: Sequence[Response]) -> dict[str, Any]:
    """A row that asks for a ranking."""
    return format.blank(prompt, blank_names(responses))


def _natural(name: str) -> list[tuple[int, str]]:
    """To sort by, so that row 10 comes after row 9."""
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", name)]


def _renewed(
    format: TaskFormat, original: Original, there: Collection[str], added: Sequence[Judgement]
) -> tuple[dict[str, Any], list[Judgement]]:
    """The row as it is now, and the judgements that found no place in it."""
    row = copy.deepcopy(dict(original.content))
    gone = [place for place, i in enumerate(original.judgement_ids) if i and i not in there]
    if gone:
        format.drop(row, gone)
    names = {response: name for name, response in original.responses.items()}
    left = [j for j in added if not (names.keys() >= set(j.shown) and _added(format, row, j, names))]
    return row, left


def _fresh(
    format: TaskFormat, prompt: Prompt, judgements: Sequence[Judgement], responses: Mapping[str, Response]
) -> Iterator[dict[str, Any] | LeftOut]:
    shown = {i for judgement in judgements for i in judgement.shown}
    named = blank_names([responses[i] for i in shown])
    names = {response.id: name for name, response in named.items()}
    row = format.blank(prompt, named)
    for judgement in judgements:
        if not _added(format, row, judgement, names):
            yield LeftOut("further rankings of a prompt by the same rater: the tool keeps one")
    yield row


def _added(format: TaskFormat, row: dict[str, Any], judgement: Judgement, names: Mapping[str, str]) -> bool:
    try:
        format.add(row, judgement, names)
    except FieldProblem:
        return False
    return True
