"""Loading: several sources, their limits, and the names that raters and prompts get from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.core.settings import Source
from tutelage.data.judged import Judged
from tutelage.data.load import load_comparisons, source_name


def test_sources_are_read_in_order_each_to_its_limit(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines = [json.dumps({"prompt": f"{name}{n}", "chosen": "x", "rejected": "y"}) for n in range(4)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(["{broken", *lines]))
    found = load_comparisons(
        [Source(source="a.jsonl", limit=2), Source(source="b.jsonl", limit=3)], base=tmp_path
    )
    assert [one.prompt.text for one in found.records] == ["a0", "a1", "b0", "b1", "b2"]
    assert [(r.file, r.line) for r in found.set_aside] == [("a.jsonl", 1), ("b.jsonl", 1)]
    assert {one.judgement.rater for one in found.records} == {"a", "b"}
    assert isinstance(found.records[0], Judged)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("pack:starter", "pack:starter"),
        ("data/hh.v1.jsonl.gz", "hh.v1"),
        ("/x/y/rows.parquet", "rows"),
        ("./folder", "folder"),
        ("Anthropic/hh-rlhf", "Anthropic/hh-rlhf"),
    ],
)
def test_names_of_sources(source: str, name: str) -> None:
    assert source_name(source) == name
