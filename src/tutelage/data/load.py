"""The recipe's sources to records: several sources are read one after the other, each up to its limit.

A source of which not one row can be used is a `DataError` that names the first problem; otherwise rows
that cannot be used come back beside the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Prompt, RaterKind
from tutelage.core.settings import Source
from tutelage.data.formats import ParseResult, parse_comparisons, parse_demonstrations, parse_prompts
from tutelage.data.judged import Judged, Origin
from tutelage.data.packs import PREFIX, load_evaluation, pack_file
from tutelage.data.rows import SUFFIXES, Row, SetAside, read_file, read_rows

T = TypeVar("T")
Rows = Iterator[Row | SetAside]

__all__ = ["load_comparisons", "load_demonstrations", "load_evaluation", "load_prompts", "source_name"]


def load_demonstrations(sources: Iterable[Source], *, base: Path | None = None) -> ParseResult[Demonstration]:
    """Demonstrations of all sources. `base` is the folder that relative paths start from."""

    def parse(rows: Rows, source: Source) -> ParseResult[Demonstration]:
        return parse_demonstrations(rows, source.format, source_name(source.source), source.limit)

    return _load(sources, "demonstrations", base, parse)


def load_comparisons(
    sources: Iterable[Source], *, base: Path | None = None, kind: RaterKind | None = None
) -> ParseResult[Judged]:
    """Judgements of all sources, each with its prompt and responses.

    The rater is the source's name unless rows name one (`rater`, or `judge` for a model). `kind` is what
    raters are where rows do not say (`rater_kind`): people by default, a model where a row names a `judge`.
    """

    def parse(rows: Rows, source: Source) -> ParseResult[Judged]:
        return parse_comparisons(rows, source.format, Origin(source_name(source.source), kind), source.limit)

    return _load(sources, "comparisons", base, parse)


def load_prompts(sources: Iterable[Source], *, base: Path | None = None) -> ParseResult[Prompt]:
    """Prompts of all sources."""

    def parse(rows: Rows, source: Source) -> ParseResult[Prompt]:
        return parse_prompts(rows, source.format, source_name(source.source), source.limit)

    return _load(sources, "prompts", base, parse)


def source_name(source: str) -> str:
    """A source's short name: a pack's or hub data set's own, a file's without folder and suffix."""
    if source.startswith(PREFIX):
        return source
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if source.lower().endswith(s)), "")
    if suffix or source.startswith((".", "/", "~")):
        return Path(source[: len(source) - len(suffix)]).name
    return source


def _load(
    sources: Iterable[Source],
    kind: str,
    base: Path | None,
    parse: Callable[[Rows, Source], ParseResult[T]],
) -> ParseResult[T]:
    records: list[T] = []
    aside: list[SetAside] = []
    for source in sources:
        found = parse(_rows(source, kind, base), source)
        if not found.records:
            raise DataError(_nothing(source.source, kind, found.set_aside))
        records.extend(found.records)
        aside.extend(found.set_aside)
    return ParseResult(tuple(records), tuple(aside))


def _rows(source: Source, kind: str, base: Path | None) -> Rows:
    if source.source.startswith(PREFIX):
        path = pack_file(source.source, kind)
        return read_file(path, f"{source.source}/{path.name}")
    return read_rows(source.source, split=source.split, base=base)


def _nothing(source: str, kind: str, aside: Sequence[SetAside]) -> str:
    rows = len({(one.file, one.line) for one in aside})
    count = "its only row" if rows == 1 else f"none of its {rows} rows"
    verb = "cannot" if rows == 1 else "can"
    first = "" if len(aside) == 1 else "the first, "
    return f"{source} holds no {kind}: {count} {verb} be used ({first}{aside[0].sentence()})"
