"""Conversations out of whatever a field holds: text, chat lists, ShareGPT lists, HH transcripts.

Every function here raises `FieldProblem` for a value that it cannot read; `formats.py` turns that into a
row set aside. Text is stripped at both ends, as `TokenContract.text` strips what a policy samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.core.records import Message, Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_TYPES = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class FieldProblem(Exception):
    """What is wrong with one field of a row."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def text_of(value: Any, field: str) -> str:
    """Stripped text that is not empty."""
    if value is None:
        raise FieldProblem(field, "it is missing")
    if not isinstance(value, str):
        raise FieldProblem(field, f"it is {_TYPES.get(type(value), 'something else')}, not text")
    if not value.strip():
        raise FieldProblem(field, "it is empty")
    return value.strip()


def is_transcript(value: Any) -> bool:
    """Whether a value is text in the form of HH-RLHF (Bai et al. 2022): `Human:` and `Assistant:` turns."""
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "\n\nAssistant:" in value


def turns(value: Any, field: str) -> tuple[Message, ...]:
    """The turns in a transcript, a chat list (`role`, `content`), or a ShareGPT list (`from`, `value`).

    A chat list may also be JSON text, which is how CSV has to carry it.
    """
    if is_transcript(value):
        return _transcript_turns(value, field)
    listed = _as_list(value)
    if listed is None:
        said = "is empty" if value in ([], "") else f"is {_TYPES.get(type(value), 'something else')}"
        raise FieldProblem(field, f"it {said}: expected a list of messages with role and content")
    messages = tuple(_message(item, field) for item in listed)
    if any(m.role == "system" for m in messages[1:]):
        raise FieldProblem(field, "a system message stands after the first message")
    return messages


def is_conversation(value: Any) -> bool:
    """Whether `turns` is the way to read a value (and not plain text)."""
    return is_transcript(value) or _as_list(value) is not None


def prompt_turns(value: Any, field: str) -> tuple[Message, ...]:
    """A prompt: plain text is one user message; a transcript may end in an empty `Assistant:`."""
    if not is_conversation(value):
        return (Message("user", text_of(value, field)),)
    if is_transcript(value) and value.rstrip().endswith("\n\nAssistant:"):
        value = value.rstrip().removesuffix("\n\nAssistant:")
        if "\n\nAssistant:" not in value:
            return (Message("user", text_of(value.lstrip().removeprefix("Human:"), field)),)
    return turns(value, field)


def answer_turns(value: Any, field: str) -> tuple[Message, ...]:
    """Turns that end with an assistant's; plain text is one assistant message, so is one message object."""
    if isinstance(value, Mapping):
        value = [value]
    if not is_conversation(value):
        if isinstance(value, list):
            turns(value, field)
        return (Message("assistant", text_of(value, field)),)
    messages = turns(value, field)
    if messages[-1].role != "assistant":
        raise FieldProblem(field, f"it ends with a {messages[-1].role} message, not with an answer")
    return messages


def checked_prompt(messages: Sequence[Message], field: str) -> tuple[Message, ...]:
    """The messages of a prompt, which must end with a user's."""
    if not messages:
        raise FieldProblem(field, "the prompt is missing")
    if messages[-1].role != "user":
        raise FieldProblem(field, f"the prompt ends with a {messages[-1].role} message, not with a user's")
    return tuple(messages)


def _transcript_turns(text: str, field: str) -> tuple[Message, ...]:
    """Turns of an HH transcript; two in a row of the same speaker become one, with a blank line between."""
    parts = _TURN.split(text.lstrip())
    merged: list[Message] = []
    for speaker, said in zip(parts[1::2], parts[2::2], strict=True):
        role: Role = "user" if speaker == "Human" else "assistant"
        if not said.strip():
            raise FieldProblem(field, f"turn {len(merged) + 1} of the transcript ({speaker}) is empty")
        if merged and merged[-1].role == role:
            merged[-1] = Message(role, f"{merged[-1].content}\n\n{said.strip()}")
        else:
            merged.append(Message(role, said.strip()))
    return tuple(merged)


def _as_list(value: Any) -> list[Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return None
    return value if isinstance(value, list) and value and isinstance(value[0], Mapping) else None


def _message(item: Any, field: str) -> Message:
    if not isinstance(item, Mapping):
        raise FieldProblem(field, "a message is not an object with role and content")
    said = item.get("role", item.get("from"))
    role = _ROLES.get(said.lower()) if isinstance(said, str) else None
    if role is None:
        raise FieldProblem(field, f"a message has the role {said!r}: known are system, user and assistant")
    content = item.get("content", item.get("value"))
    if isinstance(content, list) and all(isinstance(p, Mapping) and p.get("type") == "text" for p in content):
        content = "".join(str(p.get("text", "")) for p in content)
    if not isinstance(content, str) or not content.strip():
        raise FieldProblem(field, f"a message of the {role} has no text")
    return Message(role, content.strip())
