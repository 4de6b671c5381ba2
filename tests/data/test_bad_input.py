"""Whole-file problems: each broken input gives one sentence that names the file and what is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tutelage.core.errors import DataError
from tutelage.core.settings import Source
from tutelage.data.load import load_comparisons, load_demonstrations, load_prompts
from tutelage.data.packs import load_evaluation

GOOD = b'{"instruction": "Say hi", "output": "Hi"}\n'

BROKEN_FILES = {
    "empty.jsonl": (b"", "holds no rows"),
    "blank.jsonl": (b"\n\n  \n", "holds no rows"),
    "empty.json": (b"", "holds no rows"),
    "list.json": (b"[]", "holds no rows"),
    "latin.jsonl": (
        GOOD + '{"instruction": "Größe", "output": "x"}\n'.encode("latin-1"),
        "latin.jsonl:2 is not UTF-8",
    ),
    "utf16.csv": ("instruction,output\na,b\n".encode("utf-16"), "utf16.csv:1 is not UTF-8"),
    "no-json.jsonl": (
        b"hello\nworld\n",
        "none of its 2 rows can be used.*no-json.jsonl:1: the line is not valid JSON",
    ),
    "cut.json": (b'[{"instruction": "a", "output": ', "cut.json:1 is not valid JSON"),
    "object.json": (b'{"data": []}', "holds one JSON object"),
    "columns.jsonl": (b'{"a": 1}\n{"b": 2}\n', "none of its 2 rows.*needs the columns messages"),
    "columns.csv": (b"id,text\n1,hello\n", "its only row cannot be used.*this row has id, text"),
    "header.csv": (b"instruction,output\n", "holds no rows"),
    "quotes.csv": (b'instruction,output\n"a,b\n', "is not valid CSV"),
    "no.parquet": (b"PAR1 this is not", "is not a Parquet file"),
    "pointer.parquet": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "pointer.jsonl": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "pointer.jsonl.gz": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "not.jsonl.gz": (GOOD, "is not a whole gzip file"),
    "cut.jsonl.gz": (gzip.compress(GOOD * 100)[:-12], "is not a whole gzip file"),
    "rows.xlsx": (b"PK", "suffix that is not known"),
    "empty-answers.jsonl": (b'{"instruction": "a", "output": " "}\n', "field 'output': it is empty"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    content, says = BROKEN_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        load_demonstrations([Source(source=name)], base=tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere/rows.jsonl", "there is no file nowhere/rows.jsonl"),
        ("./rows", "there is no file ./rows"),
        ("what is this?", "neither a file nor a hub name"),
        ("pack:none", "there is no pack 'none': shipped are .*starter"),
        ("hollow", "holds no data"),
    ],
)
def test_a_source_that_is_not_there(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "hollow").mkdir()
    for load in (load_demonstrations, load_comparisons, load_prompts):
        with pytest.raises(DataError, match=says):
            load([Source(source=source)], base=tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("eval_harmful", '{"id": "h1"}', "eval_harmful.jsonl:1, field 'prompt': expected text"),
        (
            "eval_harmful",
            '{"id": "h1", "prompt": "a"}\n{"id": "h1", "prompt": "b"}',
            ":2, field 'id': 'h1' is already",
        ),
        (
            "eval_benign",
            '{"prompt": "a", "sounds_harmful": "yes"}',
            "field 'sounds_harmful': expected true or false",
        ),
        ("eval_honesty", '{"prompt": "a", "kind": "odd"}', "field 'kind': 'odd' is not known"),
        (
            "eval_honesty",
            '{"prompt": "a", "kind": "unanswerable", "accept": ["("]}',
            "is no regular expression",
        ),
        (
            "eval_capability",
            '{"question": "a", "options": ["x", "y"], "answer": 2}',
            "field 'answer': .* 0 to 1",
        ),
        ("eval_capability", '{"question": "a", "options": ["x", "x"], "answer": 0}', "field 'options'"),
        ("eval_helpful", "{", "eval_helpful.jsonl:1: the line is not valid JSON"),
        ("other", "{}", "holds no evaluation sets"),
    ],
)
def test_a_broken_evaluation_item_is_an_error(tmp_path: Path, name: str, line: str, says: str) -> None:
    (tmp_path / f"{name}.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=says) as caught:
        load_evaluation(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_evaluation_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no evaluation folder"):
        load_evaluation("missing", base=tmp_path)
