"""What a rater is shown of a task, and what comes back: responses under letters, never under their names.

The letters A to I follow the order in which this rater sees the responses, so they say nothing about who
wrote them; response ids, policies and sampling settings stay on this side. A gold question looks like any
other prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tutelage.core.errors import DataError
from tutelage.preferences.desk import HIGHEST, LOWEST, VALUES, Answer, Asked, Outcome, Submitted, Task

LETTERS = "ABCDEFGHI"
LONGEST_TEXT = 8_000

Letter = Literal["A", "B", "C", "D", "E", "F", "G", "H", "I"]
Score = Annotated[int, Field(ge=LOWEST, le=HIGHEST)]


class Given(BaseModel):
    """A rater's answer as it comes in, in letters."""

    model_config = ConfigDict(extra="forbid")

    ranking: list[list[Letter]] = Field(default=[], max_length=9)
    outcome: Outcome = "ranked"
    scores: dict[Letter, dict[Literal["helpful", "harmless", "honest"], Score]] = {}
    reason: str = Field(default="", max_length=LONGEST_TEXT)
    better: str = Field(default="", max_length=LONGEST_TEXT)
    seconds: float | None = Field(default=None, ge=0, le=86_400, allow_inf_nan=False)


class Shown(BaseModel):
    """A task as a rater may see it."""

    task: str
    kind: Literal["calibration", "work"]
    conversation: list[dict[str, str]]
    responses: list[dict[str, str]]
    draft: dict[str, Any]
    done: int
    to_do: int


def shown(task: Task) -> Shown:
    """The task with its responses under letters."""
    return Shown(
        task=task.id,
        kind="calibration" if task.kind == "calibration" else "work",
        conversation=[{"role": m.role, "content": m.content} for m in task.prompt.messages],
        responses=[
            {"key": letter, "text": r.text} for letter, r in zip(LETTERS, task.responses, strict=False)
        ],
        draft=dict(task.draft or {}),
        done=task.done,
        to_do=task.to_do,
    )


def answer(asked: Asked, given: Given) -> Answer:
    """What came back, with the letters turned into responses again. Raises `DataError` for a strange letter."""
    return Answer(
        ranking=tuple(tuple(response_id(asked, letter) for letter in group) for group in given.ranking),
        outcome=given.outcome,
        scores={response_id(asked, letter): dict(of) for letter, of in given.scores.items() if of},
        reason=given.reason.strip(),
        better=given.better.strip(),
        seconds=given.seconds,
    )


def response_id(asked: Asked, letter: str) -> str:
    """The response under a letter. Raises `DataError` if there is none."""
    place = LETTERS.find(letter)
    if not 0 <= place < len(asked.shown):
        raise DataError(f"this prompt has no response {letter}: it has {len(asked.shown)}")
    return asked.shown[place]


def letters(asked: Asked, groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Tie groups of response ids as letters."""
    named = _letters(asked)
    return [sorted(named[i] for i in group if i in named) for group in groups]


def in_letters(asked: Asked, text: str) -> str:
    """A text that names responses as `{id}`, with their letters instead."""
    for response, letter in _letters(asked).items():
        text = text.replace(f"{{{response}}}", letter)
    return text


def _letters(asked: Asked) -> dict[str, str]:
    return dict(zip(asked.shown, LETTERS, strict=False))


def result(asked: Asked, submitted: Submitted) -> dict[str, Any]:
    """What the rater learns after submitting: in practice whether it agreed and why, else nothing."""
    if asked.kind != "calibration":
        return {"submitted": True}
    said: Mapping[str, str] = submitted.explanation or {}
    return {
        "submitted": True,
        "agreed": submitted.agreed,
        "expected": letters(asked, submitted.expected),
        "explanation": {name: in_letters(asked, said[name]) for name in VALUES if said.get(name)},
    }
