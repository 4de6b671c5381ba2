"""The records that flow through Tutelage: plain frozen dataclasses named by their content.

A record's `id` is a hash of what it says, not of when or where it was made, so the same prompt read
twice is one prompt. `to_dict` and `from_dict` turn every record into JSON-like values and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, cast

from tutelage.core.errors import DataError
from tutelage.core.hashing import content_id

Role = Literal["system", "user", "assistant"]
RaterKind = Literal["person", "ai", "debate"]


class Record:
    """What all records share: an id made from their content, and a JSON form."""

    _not_identity: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        fields = [f.name for f in dataclasses.fields(self) if f.name not in self._not_identity]  # type: ignore[arg-type]
        return content_id(type(self).__name__.lower(), {name: _named(getattr(self, name)) for name in fields})

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form: tuples become lists, nested records become objects."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; an `id` among the values is ignored.

        Raises `DataError` naming the first field that is missing or unknown.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if unknown := set(values) - set(fields) - {"id"}:
            raise DataError(f"a {cls.__name__.lower()} has no field '{sorted(unknown)[0]}'")
        for name, f in fields.items():
            required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            if required and name not in values:
                raise DataError(f"a {cls.__name__.lower()} needs the field '{name}'")
        return cls(**{k: _frozen(k, v) for k, v in values.items() if k != "id"})


def _named(value: Any) -> Any:
    """A field as it enters an id: a nested record that has content of its own by its id."""
    return value.id if isinstance(value, Record) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in cast(Sequence[Any], value)]
    return value


def _frozen(name: str, value: Any) -> Any:
    if name == "messages":
        return tuple(m if isinstance(m, Message) else Message.from_dict(m) for m in value)
    if isinstance(value, list):
        return tuple(_frozen("", v) for v in cast(list[Any], value))
    return value


@dataclass(frozen=True)
class Message(Record):
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Prompt(Record):
    """A conversation up to the point where an answer is wanted. Its id depends on the messages alone."""

    messages: tuple[Message, ...]
    source: str = ""
    category: str = ""
    split: str = ""

    _not_identity = ("source", "category", "split")

    @classmethod
    def of(cls, text: str, **kept: str) -> Self:
        """A prompt of one user message."""
        return cls(messages=(Message("user", text),), **kept)

    @property
    def text(self) -> str:
        """The last user message, for people to read."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True)
class Response(Record):
    """One answer to a prompt, and which policy gave it (an artifact id, or a name such as 'authors')."""

    prompt_id: str
    text: str
    policy: str
    sampling: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Demonstration(Record):
    """An answer to learn from: the prompt's messages and the response that should follow."""

    prompt: Prompt
    response: str
    author: str = ""
    guideline: str = ""

    _not_identity = ("author", "guideline")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        prompt = values["prompt"]
        kept: dict[str, Any] = {k: v for k, v in values.items() if k not in ("id", "prompt")}
        return cls(prompt if isinstance(prompt, Prompt) else Prompt.from_dict(prompt), **kept)


@dataclass(frozen=True)
class Judgement(Record):
    """What one rater said about the responses to one prompt.

    `shown` holds response ids in the order in which the rater saw them. `ranking` holds tie groups of
    response ids, best first; responses that the rater left unranked are absent from it.
    """

    prompt_id: str
    shown: tuple[str, ...]
    ranking: tuple[tuple[str, ...], ...]
    rater: str
    kind: RaterKind = "person"
    guideline: str = ""
    reason: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seconds: float | None = None
    split: str = ""

    _not_identity = ("split",)

    def __post_init__(self) -> None:
        check_ranking(self.ranking, self.shown)


@dataclass(frozen=True)
class Original(Record):
    """A row of another rating tool's export as it came, kept so that it can go out unchanged.

    `name` is the tool's own name for the row: a later export of the same row takes its place. `responses`
    holds response ids by the tool's names for them, and `judgement_ids` what each answer of the row became
    (empty for one that was set aside).
    """

    prompt_id: str
    format: str
    name: str
    content: Mapping[str, Any]
    responses: Mapping[str, str]
    judgement_ids: tuple[str, ...] = ()

    _not_identity = ("content", "responses", "judgement_ids")


@dataclass(frozen=True)
class Ranking(Record):
    """What is resolved from judgements over K responses: tie groups, best first, with a weight."""

    prompt_id: str
    groups: tuple[tuple[str, ...], ...]
    judgement_ids: tuple[str, ...]
    weight: float = 1.0
    split: str = ""

    _not_identity = ("split",)

    def __post_init__(self) -> None:
        check_ranking(self.groups, [r for g in self.groups for r in g])


@dataclass(frozen=True)
class Comparison(Record):
    """What is resolved from judgements over two responses.

    `preference` is the probability that `chosen` is the better one (1.0 where raters agree, 0.5 a tie).
    """

    prompt_id: str
    chosen: str
    rejected: str
    judgement_ids: tuple[str, ...]
    preference: float = 1.0
    weight: float = 1.0
    split: str = ""

    _not_identity = ("split",)

    def swap(self) -> Self:
        """The same comparison told the other way round."""
        return dataclasses.replace(
            self, chosen=self.rejected, rejected=self.chosen, preference=1.0 - self.preference
        )


@dataclass(frozen=True)
class Verdict(Record):
    """A judge's word on one subject (a response or prompt id): a label, a score, a reason."""

    subject: str
    label: str
    score: float
    judge: str
    reason: str = ""


@dataclass(frozen=True)
class Artifact(Record):
    """What a stage left behind. Its id is fixed before the stage runs, by what goes into it."""

    stage: str
    inputs: Mapping[str, str]
    recipe: Mapping[str, Any]
    seed: int
    version: str
    code: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.0
    finished: str = ""

    _not_identity = ("code", "metrics", "files", "seconds", "finished")


def check_ranking(groups: Sequence[Sequence[str]], shown: Sequence[str]) -> None:
    """Raise `DataError` unless `groups` are non-empty tie groups of distinct members of `shown`."""
    ranked = [r for group in groups for r in group]
    if not ranked:
        raise DataError("a ranking is empty: at least one response must be ranked")
    if any(not group for group in groups):
        raise DataError("a ranking holds an empty tie group: remove it")
    if len(set(ranked)) != len(ranked):
        twice = next(r for r in ranked if ranked.count(r) > 1)
        raise DataError(f"a ranking names the response {twice} twice: each may stand in one tie group only")
    if stranger := next((r for r in ranked if r not in shown), None):
        raise DataError(f"a ranking names the response {stranger}, which was not shown")
