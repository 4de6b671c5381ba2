"""The prompt of a row: which fields state it, and what is kept beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.core.records import Message, Prompt
from tutelage.data.conversations import FieldProblem, prompt_turns, text_of

SPLITS = ("reward", "judge", "measure")
"""Of comparisons: what trains the reward model, what trains the judge that evaluates, what measures both."""


def stated_prompt(values: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """The prompt that a row states in a field of its own, or None.

    `prompt`, or `instruction` with `input` or `context` below it, or `question` or `query`; a `system`
    field goes before a prompt that has no system message.
    """
    if "prompt" in values:
        messages = prompt_turns(values["prompt"], "prompt")
    elif "instruction" in values:
        asked = text_of(values["instruction"], "instruction")
        extra = next((values[key] for key in ("input", "context") if values.get(key)), "")
        if not isinstance(extra, str):
            raise FieldProblem("input", "it is not text")
        messages = (Message("user", f"{asked}\n\n{extra.strip()}".strip()),)
    elif key := next((key for key in ("question", "query") if key in values), None):
        messages = (Message("user", text_of(values[key], key)),)
    else:
        return None
    system = values.get("system", values.get("system_prompt"))
    if isinstance(system, str) and system.strip() and messages[0].role != "system":
        messages = (Message("system", system.strip()), *messages)
    return messages


def prompt_from(values: Mapping[str, Any], messages: Sequence[Message], name: str) -> Prompt:
    """A `Prompt` with the row's source, category (else its topic), and split if that is one of ours."""
    source = values.get("source")
    return Prompt(
        messages=tuple(messages),
        source=source if isinstance(source, str) and source else name,
        category=category(values),
        split=split_of_row(values),
    )


def category(values: Mapping[str, Any]) -> str:
    found = values.get("category") or values.get("topic") or ""
    return found if isinstance(found, str) else str(found)


def split_of_row(values: Mapping[str, Any]) -> str:
    """`reward`, `judge` or `measure` if the row says so; a hub's `train` or `test` is none of ours."""
    split = values.get("split")
    return split if split in SPLITS else ""
