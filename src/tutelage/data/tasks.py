"""Tasks of other rating tools: a prompt, its responses by the tool's own names, and what raters said of them.

Argilla and Label Studio keep several raters' rankings of a prompt in one row, where the formats of `judged.py`
have a row for each. What such a row has no place for (order shown, time, scores, a rater's name) is carried
under `tutelage`, where the tool keeps it and shows it to nobody; so is the id of each response, and never the
policy that gave it. Left out on purpose: the tools' own shapes (`argilla.py`, `label_studio.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tutelage.core.errors import DataError
from tutelage.core.records import Judgement, Message, Prompt, Response
from tutelage.data.conversations import FieldProblem, checked_prompt, prompt_turns, text_of, turns
from tutelage.data.judged import Origin
from tutelage.data.prompts import prompt_from, split_of_row, stated_prompt

CARRIED = "tutelage"
REASONS = ("reason", "comment", "comments", "explanation", "rationale", "feedback")
"""Names of text questions whose answer is the reason for a ranking."""
Known = Callable[[str], Response | None]
"""The response with an id, where it is stored already."""
_SPEAKERS = {"user": "Human", "assistant": "Assistant"}
_DESCRIBED = ("source", "category", "split")


@dataclass(frozen=True)
class Task:
    """`answers` has an entry for each answer of the row, in its order: a judgement, or why it is none."""

    prompt: Prompt
    responses: Mapping[str, Response]
    answers: tuple[Judgement | FieldProblem, ...]


@dataclass(frozen=True)
class Answer:
    """What one rater said, by the tool's names: tie groups, best first. `key` finds what is carried for it."""

    rater: str
    groups: Sequence[Sequence[str]]
    key: str = ""
    reason: str = ""
    seconds: float | None = None


class TaskFormat(Protocol):
    """One shape of a tool's rows. `read` raises `FieldProblem`; the last two change a row in place."""

    @property
    def name(self) -> str: ...

    @property
    def tool(self) -> Literal["argilla", "label-studio"]: ...

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has this shape."""
        ...

    def read(self, row: Mapping[str, Any], origin: Origin, known: Known) -> Task:
        """What a row says."""
        ...

    def own_name(self, row: Mapping[str, Any]) -> str:
        """The tool's own name for the row; empty if it has none yet."""
        ...

    def blank(self, prompt: Prompt, responses: Mapping[str, Response]) -> dict[str, Any]:
        """A row that nobody has answered."""
        ...

    def drop(self, row: dict[str, Any], places: Collection[int]) -> None:
        """Take answers out, by their place in `Task.answers`."""
        ...

    def add(self, row: dict[str, Any], judgement: Judgement, names: Mapping[str, str]) -> None:
        """Put an answer in. `names` are the row's names for responses, by response id."""
        ...


def nothing_known(_: str) -> Response | None:
    """For rows that are read without a store."""
    return None


def task_prompt(
    fields: Mapping[str, Any], beside: Mapping[str, Any], carried: Mapping[str, Any], origin: Origin
) -> Prompt:
    """The prompt in the fields that hold no response: one that is named so, or the only one there is."""
    if isinstance(carried.get("messages"), list):
        messages = turns(carried["messages"], CARRIED)
    else:
        given = {k: v for k, v in fields.items() if v not in (None, "") and k not in (*_DESCRIBED, "topic")}
        messages = stated_prompt(given) or _only_one(given)
    return prompt_from(beside, checked_prompt(messages, "prompt"), origin.name)


def _only_one(fields: Mapping[str, Any]) -> tuple[Message, ...]:
    if len(fields) != 1:
        said = ", ".join(fields) or "none"
        raise FieldProblem("prompt", f"it is missing: of the other fields ({said}) none is named prompt")
    [(name, value)] = fields.items()
    return prompt_turns(value, name)


def prompt_fields(prompt: Prompt, carried: dict[str, Any]) -> dict[str, str]:
    """`prompt` as text (turns as a transcript) and `system`; carried as messages where that reads otherwise."""
    system = [m.content for m in prompt.messages if m.role == "system"]
    said = [m for m in prompt.messages if m.role != "system"]
    text = said[0].content if len(said) == 1 else messages_text(said).lstrip()
    fields = {"prompt": text, **({"system": system[0]} if system else {})}
    if stated_prompt(fields) != prompt.messages:
        carried["messages"] = [m.to_dict() for m in prompt.messages]
    return fields


def task_responses(
    prompt: Prompt,
    texts: Mapping[str, tuple[Any, str]],
    carried: Mapping[str, Any],
    tool: str,
    known: Known,
) -> dict[str, Response]:
    """Responses by name, from a text and a policy each ('' if unknown); a stored one where its id is carried.

    A policy that is unknown is named after the tool and not after the file, so that a later export of the
    same task gives the same responses.
    """
    ids = _mapping(carried.get("responses"))
    found: dict[str, Response] = {}
    for name, (value, policy) in texts.items():
        text = text_of(value, name)
        stored = known(str(ids[name])) if name in ids else None
        same = stored is not None and stored.prompt_id == prompt.id and stored.text.strip() == text
        response = stored if stored and same else Response(prompt.id, text, policy or tool)
        if twin := next((other for other, r in found.items() if r.id == response.id), None):
            raise FieldProblem(name, f"it is the same text as {twin}")
        found[name] = response
    if len(found) < 2:
        raise FieldProblem("responses", f"there {'is one' if found else 'is none'}: expected at least two")
    return found


def task_judgement(
    answer: Answer, task: Task, carried: Mapping[str, Any], origin: Origin, beside: Mapping[str, Any]
) -> Judgement:
    """An answer as a judgement, with what is carried for it. Raises `FieldProblem`."""
    more = _mapping(_mapping(carried.get("judgements")).get(answer.key))
    names = list(task.responses)
    for name in (name for group in answer.groups for name in group):
        if name not in task.responses:
            raise FieldProblem("", f"it ranks '{name}', and the responses are {', '.join(names)}")
    if sum(map(len, answer.groups)) < 2 and not more:
        raise FieldProblem("", "it ranks fewer than two responses")
    ids = {name: response.id for name, response in task.responses.items()}
    seconds = more.get("seconds", answer.seconds)
    shown = [name for name in more.get("shown") or names if name in ids]
    scores = {ids.get(name, name): value for name, value in _mapping(more.get("scores")).items()}
    try:
        return Judgement(
            prompt_id=task.prompt.id,
            shown=tuple(ids[name] for name in shown),
            ranking=tuple(tuple(ids[name] for name in group) for group in answer.groups),
            rater=str(more.get("rater") or answer.rater),
            kind=origin.kind or "person",
            guideline=str(more.get("guideline", "")),
            reason=answer.reason,
            scores=scores,
            seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
            split=split_of_row(beside),
        )
    except DataError as problem:
        raise FieldProblem("", str(problem)) from None


def carry(carried: dict[str, Any], key: str, judgement: Judgement, names: Mapping[str, str]) -> None:
    """Note under `key` what the tool has no place for."""
    more = {
        "rater": judgement.rater,
        "shown": [names[i] for i in judgement.shown],
        "guideline": judgement.guideline,
        "seconds": judgement.seconds,
        "scores": {names.get(i, i): value for i, value in judgement.scores.items()},
    }
    kept = {name: value for name, value in more.items() if value not in ("", None, {})}
    carried.setdefault("responses", {name: i for i, name in names.items()})
    carried.setdefault("judgements", {})[key] = kept


def carried_in(value: Any) -> dict[str, Any]:
    """What a row carries, as far as it has the form that we gave it."""
    forms = {"messages": list, "responses": dict, "judgements": dict}
    return {name: value[name] for name, form in forms.items() if isinstance(_mapping(value).get(name), form)}


def blank_names(responses: Sequence[Response]) -> dict[str, Response]:
    """`response-1`, `response-2`, ... in the order of ids, which carries no information."""
    return {f"response-{n}": r for n, r in enumerate(sorted(responses, key=lambda r: r.id), start=1)}


def described(prompt: Prompt) -> dict[str, str]:
    """What a row may say beside its prompt."""
    return {name: value for name in _DESCRIBED if (value := getattr(prompt, name))}


def unranked(judgement: Judgement) -> list[str]:
    """The responses that were shown and left unranked."""
    ranked = {i for group in judgement.ranking for i in group}
    return [i for i in judgement.shown if i not in ranked]


def messages_text(messages: Sequence[Message]) -> str:
    """Turns as a transcript of `Human:` and `Assistant:`, each after a blank line (HH-RLHF)."""
    return "".join(f"\n\n{_SPEAKERS[m.role]}: {m.content}" for m in messages)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
