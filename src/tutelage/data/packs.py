"""The data shipped with Tutelage, and evaluation sets: from a pack or from a user's folder.

A pack is a folder with `demonstrations.jsonl`, `rankings.jsonl`, `prompts.jsonl` and `eval_*.jsonl`.
Evaluation items are checked one by one and a bad one is an error, not set aside: a number about a model
must not depend on which questions happened to parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from tutelage.core.errors import DataError, at
from tutelage.data.rows import Row, SetAside, read_file

PREFIX = "pack:"
FILES = {
    "demonstrations": "demonstrations.jsonl",
    "comparisons": "rankings.jsonl",
    "prompts": "prompts.jsonl",
}
HonestyKind = Literal["unanswerable", "false_premise", "beyond_knowledge"]
_HONESTY_KINDS = ("unanswerable", "false_premise", "beyond_knowledge")


@dataclass(frozen=True)
class HarmfulItem:
    """A request that should be declined."""

    id: str
    prompt: str
    category: str


@dataclass(frozen=True)
class BenignItem:
    """A request that should be answered; `sounds_harmful` where only its words are alarming."""

    id: str
    prompt: str
    sounds_harmful: bool
    category: str


@dataclass(frozen=True)
class HelpfulItem:
    """A plain request, for win rates."""

    id: str
    prompt: str
    category: str


@dataclass(frozen=True)
class HonestyItem:
    """A question whose honest answer admits a limit or corrects a premise.

    `accept` and `reject` are case-insensitive regular expressions, searched for in the answer.
    """

    id: str
    prompt: str
    kind: HonestyKind
    accept: tuple[str, ...]
    reject: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class CapabilityItem:
    """A multiple-choice question; `answer` is the index of the one right option."""

    id: str
    question: str
    options: tuple[str, ...]
    answer: int
    category: str


@dataclass(frozen=True)
class EvaluationSets:
    """What models are measured on. A set without a file is empty."""

    harmful: tuple[HarmfulItem, ...] = ()
    benign: tuple[BenignItem, ...] = ()
    helpful: tuple[HelpfulItem, ...] = ()
    honesty: tuple[HonestyItem, ...] = ()
    capability: tuple[CapabilityItem, ...] = ()
    name: str = field(default="", compare=False)

    def texts(self) -> dict[str, list[str]]:
        """The question of every item by set, for finding leakage."""
        return {
            name: [item.question if isinstance(item, CapabilityItem) else item.prompt for item in items]
            for name, items in self.sets().items()
        }

    def sets(self) -> dict[str, tuple[Any, ...]]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}


def list_packs() -> list[str]:
    """Names of the shipped packs, as in `pack:NAME`."""
    root = _root()
    return (
        sorted(f.name for f in root.iterdir() if f.is_dir() and any(f.glob("*.jsonl")))
        if root.is_dir()
        else []
    )


def pack_folder(name: str) -> Path:
    """The folder of a shipped pack; `pack:` in front and `-` for `_` are allowed. Raises `DataError`."""
    plain = name.removeprefix(PREFIX).replace("-", "_")
    if plain not in list_packs():
        raise DataError(
            f"there is no pack '{name.removeprefix(PREFIX)}': shipped are {', '.join(list_packs())}"
        )
    return _root() / plain


def pack_file(name: str, kind: str) -> Path:
    """The file of a pack that holds `demonstrations`, `comparisons` or `prompts`. Raises `DataError`."""
    path = pack_folder(name) / FILES[kind]
    if not path.exists():
        raise DataError(f"the pack '{name.removeprefix(PREFIX)}' holds no {kind}: take it out of data.{kind}")
    return path


def load_evaluation(name: str, base: Path | None = None) -> EvaluationSets:
    """Evaluation sets of `pack:NAME` or of a folder with the same file names (`eval_harmful.jsonl`, ...).

    Raises `DataError` naming file, line and field of the first item that is not as it should be.
    """
    folder = pack_folder(name) if name.startswith(PREFIX) else (base or Path()) / Path(name).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"there is no evaluation folder {name}: give 'pack:starter' or a folder with eval_*.jsonl"
        )
    found = {
        kind: folder / f"eval_{kind}.jsonl" for kind in _PARSERS if (folder / f"eval_{kind}.jsonl").exists()
    }
    if not found:
        wanted = ", ".join(f"eval_{kind}.jsonl" for kind in _PARSERS)
        raise DataError(f"{name} holds no evaluation sets: put at least one of {wanted} into it")
    return EvaluationSets(**{kind: _items(path, kind) for kind, path in found.items()}, name=name)


def _root() -> Path:
    return Path(str(resources.files("tutelage"))) / "packs"


def _items(path: Path, kind: str) -> tuple[Any, ...]:
    items: list[Any] = []
    lines: dict[str, int] = {}
    for row in read_file(path, path.name):
        if isinstance(row, SetAside):
            raise DataError(row.sentence())
        reader = _Reader(row, f"{kind}-{row.line:03d}")
        item = _PARSERS[kind](reader)
        if item.id in lines:
            first = lines[item.id]
            raise DataError(f"{at(path.name, row.line, 'id')}: '{item.id}' is already the id of line {first}")
        lines[item.id] = row.line
        items.append(item)
    return tuple(items)


class _Reader:
    """Typed access to the fields of one evaluation item."""

    def __init__(self, row: Row, default_id: str) -> None:
        self.row = row
        self.id = str(row.values.get("id") or default_id)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.row.values.get(name, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.problem(name, "expected text that is not empty")
        return value.strip()

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.row.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self.problem(name, "expected a list of texts")
        return tuple(value)

    def patterns(self, name: str) -> tuple[str, ...]:
        found = self.texts(name)
        for pattern in found:
            try:
                re.compile(pattern, re.IGNORECASE)
            except re.error as problem:
                raise self.problem(name, f"'{pattern}' is no regular expression ({problem})") from None
        return found

    def problem(self, name: str, reason: str) -> DataError:
        return DataError(f"{at(self.row.file, self.row.line, name)}: {reason}")


def _harmful(item: _Reader) -> HarmfulItem:
    return HarmfulItem(item.id, item.text("prompt"), item.text("category", ""))


def _benign(item: _Reader) -> BenignItem:
    sounds = item.row.values.get("sounds_harmful", False)
    if not isinstance(sounds, bool):
        raise item.problem("sounds_harmful", "expected true or false")
    return BenignItem(item.id, item.text("prompt"), sounds, item.text("category", ""))


def _helpful(item: _Reader) -> HelpfulItem:
    return HelpfulItem(item.id, item.text("prompt"), item.text("category", ""))


def _honesty(item: _Reader) -> HonestyItem:
    kind: Any = item.text("kind")
    if kind not in _HONESTY_KINDS:
        raise item.problem("kind", f"'{kind}' is not known: expected one of {', '.join(_HONESTY_KINDS)}")
    return HonestyItem(
        item.id,
        item.text("prompt"),
        kind,
        item.patterns("accept"),
        item.patterns("reject"),
        item.text("note", ""),
    )


def _capability(item: _Reader) -> CapabilityItem:
    options = item.texts("options")
    if len(options) < 2 or len(set(options)) != len(options):
        raise item.problem("options", "expected at least two options that differ")
    answer = item.row.values.get("answer")
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(options):
        raise item.problem("answer", f"expected the index of the right option, 0 to {len(options) - 1}")
    return CapabilityItem(item.id, item.text("question"), options, answer, item.text("category", ""))


_PARSERS: Mapping[str, Callable[[_Reader], Any]] = {
    "harmful": _harmful,
    "benign": _benign,
    "helpful": _helpful,
    "honesty": _honesty,
    "capability": _capability,
}
