"""Rows to records: which format a row is in, and what it says.

Demonstrations, comparisons (pairs and rankings of K responses) and prompts each have one function here;
`auto` looks at the fields of every row. A row that cannot be parsed is set aside with file, line, field
and reason. The last answer of a dialogue is the one that is learned; earlier turns are its context. A row of
a rating tool (Argilla, Label Studio) holds the rankings of several raters, each a judgement by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Message, Prompt
from tutelage.core.settings import Format
from tutelage.data.conversations import (
    FieldProblem,
    answer_turns,
    checked_prompt,
    is_transcript,
    text_of,
    turns,
)
from tutelage.data.judged import Judged, Origin, conversation_of_pair, judged_pair, judged_ranking
from tutelage.data.prompts import prompt_from, stated_prompt
from tutelage.data.rating_tools import judged_task, read_original, task_format
from tutelage.data.rows import Row, SetAside
from tutelage.data.tasks import nothing_known

T = TypeVar("T")

_DIALOGUE = ("messages", "conversations", "conversation")
_ANSWERS = ("output", "response", "completion", "answer")


@dataclass(frozen=True)
class ParseResult(Generic[T]):
    """Records in the order of their rows, and the rows that could not become one."""

    records: tuple[T, ...]
    set_aside: tuple[SetAside, ...] = ()


def parse_demonstrations(
    rows: Iterable[Row | SetAside], format: Format = "auto", name: str = "", limit: int | None = None
) -> ParseResult[Demonstration]:
    """Demonstrations from dialogues, transcripts, prompt and completion, or instruction and output.

    Of a comparison's row (`chosen`, `rejected`) the chosen response is the demonstration.
    """
    return _parse(rows, limit, lambda values: [_demonstration(_filled(values), format, name)])


def parse_comparisons(
    rows: Iterable[Row | SetAside],
    format: Format = "auto",
    origin: Origin | None = None,
    limit: int | None = None,
) -> ParseResult[Judged]:
    """Judgements from chosen/rejected pairs (TRL, UltraFeedback, HH), rankings of K responses, rating tools."""
    came = origin or Origin("")
    return _parse(rows, limit, lambda values: _judged(values, format, came))


def parse_prompts(
    rows: Iterable[Row | SetAside], format: Format = "auto", name: str = "", limit: int | None = None
) -> ParseResult[Prompt]:
    """Prompts from prompt-only rows; of a demonstration or a comparison, its prompt."""
    return _parse(rows, limit, lambda values: [_prompt(values, format, name)])


def comparison_format(values: Mapping[str, Any]) -> Format | None:
    """The format of one row as a comparison; None if its columns fit none."""
    if (tool := task_format(values)) is not None:
        return tool.tool
    values = _filled(values)
    if "responses" in values:
        return "ranking"
    if "chosen" in values and "rejected" in values:
        return (
            "hh"
            if is_transcript(values["chosen"]) and is_transcript(values["rejected"])
            else "conversational"
        )
    return None


def demonstration_format(values: Mapping[str, Any]) -> Format | None:
    """The format of one row as a demonstration; None if its columns fit none."""
    if any(key in values for key in _DIALOGUE):
        return "conversational"
    if is_transcript(values.get("chosen")) or is_transcript(values.get("text")):
        return "hh"
    if "chosen" in values:
        return "conversational"
    asked = any(key in values for key in ("prompt", "instruction", "question", "query"))
    return "instruction" if asked and any(key in values for key in _ANSWERS) else None


def write_set_aside(path: Path, rows: Iterable[SetAside]) -> int:
    """Write rows that were set aside as JSON Lines (`file`, `line`, `field`, `reason`, `row`); how many."""
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(vars(row), ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def _parse(
    rows: Iterable[Row | SetAside],
    limit: int | None,
    make: Callable[[Mapping[str, Any]], Iterable[T | FieldProblem]],
) -> ParseResult[T]:
    """The records of each row. `make` raises what is wrong with all of a row, and yields what is with a part."""
    records: list[T] = []
    aside: list[SetAside] = []
    used = 0
    for row in rows:
        if limit is not None and used >= limit:
            break
        if isinstance(row, SetAside):
            aside.append(row)
            continue
        found = 0
        try:
            for one in make(row.values):
                if isinstance(one, FieldProblem):
                    aside.append(set_aside(row, one))
                else:
                    records.append(one)
                    found += 1
        except (FieldProblem, DataError) as problem:
            aside.append(set_aside(row, problem))
        used += found > 0
    return ParseResult(tuple(records), tuple(aside))


def set_aside(row: Row, problem: FieldProblem | DataError) -> SetAside:
    """The row with where it stands and what is wrong with it."""
    field = problem.field if isinstance(problem, FieldProblem) else ""
    return SetAside(row.file, row.line, field, str(problem), row.values)


def _judged(values: Mapping[str, Any], format: Format, origin: Origin) -> Iterator[Judged | FieldProblem]:
    found = comparison_format(values) if format == "auto" else format
    if found in ("argilla", "label-studio"):
        yield from judged_task(values, origin)
        return
    values = _filled(values)
    if found == "ranking":
        yield judged_ranking(values, origin)
        return
    if found in ("conversational", "hh"):
        yield judged_pair(values, origin, transcript=found == "hh")
        return
    if found == "instruction":
        raise FieldProblem("", "the format 'instruction' holds no comparisons: name another format")
    wanted = "chosen and rejected, or prompt, responses and ranking"
    raise FieldProblem("", f"a comparison needs the columns {wanted}, and this row has {_columns(values)}")


def _demonstration(values: Mapping[str, Any], format: Format, name: str) -> Demonstration:
    found = demonstration_format(values) if format == "auto" else format
    if found in ("ranking", "argilla", "label-studio"):
        raise FieldProblem("", f"the format '{found}' holds no demonstrations: name another format")
    if found is None:
        wanted = "messages, or prompt and completion, or instruction and output"
        raise FieldProblem(
            "", f"a demonstration needs the columns {wanted}, and this row has {_columns(values)}"
        )
    field, dialogue = _dialogue(values, found)
    messages = checked_prompt(dialogue[:-1], "prompt" if field in _ANSWERS else field)
    author = values.get("author")
    return Demonstration(
        prompt=prompt_from(values, messages, name),
        response=dialogue[-1].content,
        author=author if isinstance(author, str) else name,
    )


def _dialogue(values: Mapping[str, Any], found: Format) -> tuple[str, tuple[Message, ...]]:
    """The whole conversation of a demonstration, its answer last, and the field that it came from."""
    if found == "hh":
        field = "chosen" if "chosen" in values else "text"
        if not is_transcript(values.get(field)):
            raise FieldProblem(field, "it is not a transcript of 'Human:' and 'Assistant:' turns")
        return field, answer_turns(values[field], field)
    field = next((key for key in _DIALOGUE if key in values), None)
    if field is not None and found != "instruction":
        messages = turns(values[field], field)
        if messages[-1].role != "assistant":
            raise FieldProblem(
                field, f"it ends with a {messages[-1].role} message: there is no answer to learn"
            )
        return field, messages
    if "chosen" in values and found != "instruction":
        prompt, answer = conversation_of_pair(values, "chosen")
        return "chosen", (*prompt, Message("assistant", answer))
    stated = stated_prompt(values)
    if stated is None:
        raise FieldProblem("prompt", "it is missing")
    field = next((key for key in _ANSWERS if key in values), _ANSWERS[0])
    return field, (*stated, *answer_turns(values.get(field), field))


def _prompt(values: Mapping[str, Any], format: Format, name: str) -> Prompt:
    if format in ("auto", "argilla", "label-studio") and task_format(values) is not None:
        return read_original(values, Origin(name), nothing_known)[1].prompt
    values = _filled(values)
    stated = stated_prompt(values) if format != "hh" else None
    if stated is not None:
        return prompt_from(values, checked_prompt(stated, "prompt"), name)
    field = next((key for key in _DIALOGUE if key in values), None)
    if field is not None:
        messages = turns(values[field], field)
        asked = messages[:-1] if messages[-1].role == "assistant" else messages
        return prompt_from(values, checked_prompt(asked, field), name)
    if "chosen" in values:
        return prompt_from(values, conversation_of_pair(values, "chosen")[0], name)
    if "text" in values and not is_transcript(values["text"]):
        return prompt_from(values, (Message("user", text_of(values["text"], "text")),), name)
    if "text" in values:
        return prompt_from(values, checked_prompt(turns(values["text"], "text")[:-1], "text"), name)
    wanted = "prompt, messages, instruction or question"
    raise FieldProblem("", f"a prompt needs one of the columns {wanted}, and this row has {_columns(values)}")


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its empty fields."""
    return {key: value for key, value in values.items() if value is not None}


def _columns(values: Mapping[str, Any]) -> str:
    names = [str(key) for key in values]
    return ", ".join(names[:6]) + (" ..." if len(names) > 6 else "") if names else "none"
