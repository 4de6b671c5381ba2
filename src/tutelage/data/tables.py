"""Rows to a file, by its suffix: JSON Lines, a JSON list, CSV or Parquet (also .gz, but for Parquet).

The counterpart of `rows.py`: what is written here is read there. In CSV, lists and objects are JSON text. A
file takes the place of its name whole or not at all. What the columns mean is not known here (`writers.py`).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tutelage.core.errors import DataError
from tutelage.core.files import replacing

KINDS = "a .jsonl, .json, .csv or .parquet file (also .gz)"


@dataclass(frozen=True)
class LeftOut:
    """In the place of a row: something that the format cannot say, by its kind."""

    what: str


@dataclass
class Written:
    """How many rows were written, and how many things were left out, by kind."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter[str])

    def lines(self) -> list[str]:
        """What was left out, for people."""
        return [f"left out: {number} {what}" for what, number in sorted(self.left_out.items())]


def table_kind(path: Path) -> str:
    """`jsonl`, `json`, `csv` or `parquet`, by the name. Raises `DataError` for another."""
    plain = path.name.lower().removesuffix(".gz")
    kind = plain.rpartition(".")[2].replace("ndjson", "jsonl")
    if kind not in _WRITERS or (kind == "parquet" and path.name.lower().endswith(".gz")):
        raise DataError(f"{path} has a suffix that is not known: name {KINDS}")
    return kind


def write_table(path: Path, rows: Iterable[Mapping[str, Any] | LeftOut]) -> Written:
    """Write rows to the file; the counts. Nothing is written where there is no row."""
    kind, written = table_kind(path), Written()
    kept: list[Mapping[str, Any]] = []
    for row in rows:
        if isinstance(row, LeftOut):
            written.left_out[row.what] += 1
        else:
            kept.append(row)
    written.rows = len(kept)
    if kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
                    _WRITERS[kind](packed, kept)  # type: ignore[arg-type]
            else:
                _WRITERS[kind](stream, kept)
    return written


def _write_jsonl(stream: BinaryIO, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _write_json(stream: BinaryIO, rows: Sequence[Mapping[str, Any]]) -> None:
    stream.write(json.dumps(rows, ensure_ascii=False, indent=1).encode() + b"\n")


def _write_csv(stream: BinaryIO, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    columns = _columns(rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    text.detach()


def _write_parquet(stream: BinaryIO, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    # `from_pylist` would take the columns of the first row and drop what others have besides.
    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    try:
        table = pyarrow.table(columns)
    except pyarrow.ArrowException as problem:
        said = str(problem).splitlines()[0]
        raise DataError(
            f"these rows do not fit into one Parquet table ({said}): write .jsonl instead"
        ) from None
    pyarrow.parquet.write_table(table, stream)


_WRITERS = {"jsonl": _write_jsonl, "json": _write_json, "csv": _write_csv, "parquet": _write_parquet}


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict, tuple, bool)) else value
