"""Rows and where they stand: JSON Lines, JSON lists, Parquet, CSV, folders of these, and hub data sets.

Takes a path or a hub name, makes `Row`s one at a time, each with its file and line. A line that cannot be
read becomes a `SetAside`, never nothing; a file that cannot be read at all is a `DataError`. What the
columns mean is not known here (`formats.py`).
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tutelage.core.errors import DataError, at

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".json.gz", ".parquet", ".csv", ".csv.gz")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.-]+)?")
_LFS_POINTER = b"version https://git-lfs"
_KINDS = "a .jsonl, .json, .parquet or .csv file (also .gz)"


@dataclass(frozen=True)
class Row:
    """One row as it was written. `line` is the line of a text file, or the row's number from 1."""

    values: Mapping[str, Any]
    file: str
    line: int


@dataclass(frozen=True)
class SetAside:
    """A row that could not be used: where it stands, which field is at fault, and why."""

    file: str
    line: int
    field: str
    reason: str
    row: Any = None

    def sentence(self) -> str:
        return f"{at(self.file, self.line, self.field or None)}: {self.reason}"


def read_rows(source: str, *, split: str = "train", base: Path | None = None) -> Iterator[Row | SetAside]:
    """Rows of a file, of a folder's files, or of a hub data set, in their order.

    A relative path is looked for under `base` (default: the current folder). `split` chooses a hub
    data set's split, and in a folder the files that carry its name; a single file is read whole.
    Raises `DataError` (no such file, empty, damaged, not UTF-8) and `NetworkError` (hub out of reach).
    """
    path = (base or Path()) / Path(source).expanduser()
    if path.is_dir():
        for file in _files_of(path, split):
            yield from read_file(file, str(file))
    elif path.exists():
        yield from read_file(path, source)
    elif source.startswith((".", "/", "~")) or source.endswith(SUFFIXES):
        raise DataError(
            f"there is no file {source} in {(base or Path()).resolve()}: check the recipe's source"
        )
    elif _HUB_NAME.fullmatch(source):
        from tutelage.data.hub import read_hub

        yield from (Row(values, source, n) for n, values in enumerate(read_hub(source, split), start=1))
    else:
        raise DataError(f"'{source}' is neither a file nor a hub name: give {_KINDS}, or OWNER/NAME")


def read_file(path: Path, label: str) -> Iterator[Row | SetAside]:
    """Rows of one file, named `label` in every message. Raises `DataError`."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(f"{label} has a suffix that is not known: give {_KINDS}")
    empty = True
    for row in _READERS[name.removesuffix(".gz").rpartition(".")[2]](path, label):
        empty = False
        yield row
    if empty:
        raise DataError(f"{label} holds no rows: fill it or take it out of the recipe")


def _files_of(folder: Path, split: str) -> list[Path]:
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name.lower().endswith(SUFFIXES))
    if not files:
        raise DataError(f"the folder {folder} holds no data: put {_KINDS} into it")
    for edge in (
        "[A-Za-z0-9_]",
        "[A-Za-z0-9]",
    ):  # so that 'train' means train-0.parquet before train_sft-0.parquet
        named = [f for f in files if re.search(rf"(?<!{edge}){re.escape(split)}(?!{edge})", f.name)]
        if named:
            return named
    return files


def _read_jsonl(path: Path, label: str) -> Iterator[Row | SetAside]:
    return _json_lines(_text_lines(path, label), label)


def _read_json(path: Path, label: str) -> Iterator[Row | SetAside]:
    """A list of objects; a file of JSON Lines that is merely named .json is read as what it is."""
    lines = list(_text_lines(path, label))
    text = "\n".join(line for _, line in lines)
    if not text.strip():
        return
    try:
        values = json.loads(text)
    except json.JSONDecodeError as problem:
        if problem.msg == "Extra data":
            yield from _json_lines(lines, label)
            return
        raise DataError(f"{at(label, problem.lineno)} is not valid JSON ({_lower(problem.msg)})") from None
    if not isinstance(values, list):
        raise DataError(f"{label} holds one JSON object: expected a list of objects, or one object a line")
    for number, value in enumerate(values, start=1):
        yield _object(value, label, number)


def _read_parquet(path: Path, label: str) -> Iterator[Row | SetAside]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
        number = 0
        for batch in table.iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield Row(values, label, number)
    except (pyarrow.ArrowException, OSError) as problem:
        _check_pointer(path, label)
        raise DataError(f"{label} is not a Parquet file that can be read ({_first(problem)})") from None


def _read_csv(path: Path, label: str) -> Iterator[Row | SetAside]:
    csv.field_size_limit(1 << 30)
    reader = csv.reader((line + "\n" for _, line in _text_lines(path, label)), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            place, line = line, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = [name.strip() for name in cells]
            elif len(cells) != len(header):
                reason = f"it has {len(cells)} cells where the header has {len(header)} columns"
                yield SetAside(label, place, "", reason, cells)
            else:
                yield Row({k: c or None for k, c in zip(header, cells, strict=True)}, label, place)
    except csv.Error as problem:
        raise DataError(f"{at(label, line)} is not valid CSV ({_first(problem)})") from None


_READERS = {
    "jsonl": _read_jsonl,
    "ndjson": _read_jsonl,
    "json": _read_json,
    "parquet": _read_parquet,
    "csv": _read_csv,
}


def _json_lines(lines: Iterable[tuple[int, str]], label: str) -> Iterator[Row | SetAside]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield _object(json.loads(line), label, number)
        except (json.JSONDecodeError, RecursionError) as problem:
            said = _lower(getattr(problem, "msg", "nested too deeply"))
            yield SetAside(label, number, "", f"the line is not valid JSON ({said})", line)


def _object(value: Any, label: str, number: int) -> Row | SetAside:
    if isinstance(value, dict):
        return Row(value, label, number)
    return SetAside(label, number, "", "expected a JSON object with named fields", value)


def _text_lines(path: Path, label: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without line ends; unpacked and decoded."""
    number = 0
    try:
        with _opened(path) as stream:
            for number, raw in enumerate(stream, start=1):
                if number == 1 and raw.startswith(_LFS_POINTER):
                    raise DataError(_pointer(label))
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise DataError(f"{at(label, number)} is not UTF-8 text: save the file as UTF-8") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as problem:
        _check_pointer(path, label)
        raise DataError(f"{label} is not a whole gzip file ({_first(problem)}): get it again") from None
    except OSError as problem:
        raise DataError(f"{label} cannot be read ({_first(problem)})") from None


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _check_pointer(path: Path, label: str) -> None:
    with path.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise DataError(_pointer(label)) from None


def _pointer(label: str) -> str:
    return f"{label} is a Git LFS pointer, not the data itself: run `git lfs pull` where it came from"


def _first(problem: Exception) -> str:
    return (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
