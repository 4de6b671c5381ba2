"""Rows: whatever the file, the same rows come out, each with the place where an editor finds it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.core.errors import DataError, NetworkError
from tutelage.data.rows import Row, SetAside, read_rows

ROWS = [
    {"prompt": "Why is the sky blue?", "output": "Short waves scatter more."},
    {"prompt": "Wie spät ist es?", "output": 'Es ist "drei", sagt die Uhr.\nGenau drei.'},
    {"prompt": "空はなぜ青い", "output": "光の散乱です"},
]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in ROWS)
    table = io.StringIO()
    writer = csv.DictWriter(table, ["prompt", "output"])
    writer.writeheader()
    writer.writerows(ROWS)
    text = {"jsonl": lines, "ndjson": lines, "json": json.dumps(ROWS, indent=1), "csv": table.getvalue()}
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text[kind].encode()))
    else:
        path.write_text(text[kind], encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.ndjson", "a.json", "a.csv", "a.parquet", "a.jsonl.gz", "a.json.gz", "a.csv.gz", "A.JSONL"],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    if name == "A.JSONL":
        write(tmp_path, "a.jsonl").rename(tmp_path / name)
    else:
        write(tmp_path, name)
    found = list(read_rows(name, base=tmp_path))
    assert [dict(r.values) for r in found if isinstance(r, Row)] == ROWS
    assert {r.file for r in found} == {name}


def test_places_are_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"a": 1}\n\nnot json\n[1]\n{"a": 2}\n')
    found = list(read_rows(str(path)))
    assert [(type(r), r.line) for r in found] == [(Row, 2), (SetAside, 4), (SetAside, 5), (Row, 6)]
    # CSV: the second row starts on line 3, because the first one's cell holds a line break
    path = tmp_path / "a.csv"
    path.write_text('p,o\nx,"1\n2"\ny,3\nz\nw,\n')
    found = list(read_rows(str(path)))
    assert [(type(r), r.line) for r in found] == [(Row, 2), (Row, 4), (SetAside, 5), (Row, 6)]
    assert found[-1] == Row({"p": "w", "o": None}, str(path), 6)  # an empty cell is a missing value


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n')
    assert [r.values for r in read_rows(str(path)) if isinstance(r, Row)] == [{"a": 1}, {"a": 2}]


def test_json_lines_that_are_named_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert [r.line for r in read_rows(str(path))] == [1, 2]


def test_a_folder_gives_the_files_of_the_split(tmp_path: Path) -> None:
    """The layout of a downloaded hub data set: `train` is neither `train_sft` nor `test`."""
    for n, name in enumerate(["train-0", "train-1", "train_sft-0", "test-0"]):
        (tmp_path / f"{name}-of-2.jsonl").write_text(json.dumps({"n": n}) + "\n")
    (tmp_path / "README.md").write_text("no data")

    def numbers(split: str) -> list[int]:
        return [r.values["n"] for r in read_rows(str(tmp_path), split=split) if isinstance(r, Row)]

    assert numbers("train") == [0, 1]
    assert numbers("train_sft") == [2]
    assert numbers("test") == [3]
    assert sorted(numbers("other")) == [0, 1, 2, 3]  # no file is named so: all are read


class Hub(ModuleType):
    """Stands in for the package `datasets`: knows one data set, and can be out of reach."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__("datasets")
        self.asked: list[tuple[Any, ...]] = []
        self.problem = problem

    def load_dataset(self, name: str, configuration: str | None, split: str) -> list[dict[str, Any]]:
        self.asked.append((name, configuration, split))
        if self.problem:
            raise self.problem
        return ROWS


def hub(monkeypatch: pytest.MonkeyPatch, problem: Exception | None = None) -> Hub:
    stand_in, errors = Hub(problem), ModuleType("datasets.exceptions")
    errors.DatasetNotFoundError = FileNotFoundError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    monkeypatch.setitem(sys.modules, "datasets.exceptions", errors)
    return stand_in


def test_hub_rows_carry_the_data_sets_name(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = hub(monkeypatch)
    found = list(read_rows("openai/gsm8k:main", split="test"))
    assert found == [Row(values, "openai/gsm8k:main", n) for n, values in enumerate(ROWS, start=1)]
    assert stand_in.asked == [("openai/gsm8k", "main", "test")]


@pytest.mark.parametrize(
    ("problem", "error", "says"),
    [
        (ConnectionError("Couldn't reach it"), NetworkError, "local file"),
        (FileNotFoundError("no such"), DataError, "check its name"),
        (ValueError("Unknown split 'trian'.\nmore"), DataError, "Unknown split 'trian'"),
    ],
)
def test_hub_problems_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, error: type[Exception], says: str
) -> None:
    hub(monkeypatch, problem)
    with pytest.raises(error, match=says) as caught:
        list(read_rows("Anthropic/hh-rlhf"))
    assert "\n" not in str(caught.value)


def test_the_real_hub_package_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(NetworkError, match="give the local file or folder"):
        list(read_rows("nobody/nothing-of-this-name"))
