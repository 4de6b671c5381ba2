"""Writers: what is written is read back as the same records, by us and by the hub's own library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Demonstration, Message, Prompt, Response
from tutelage.core.settings import Source
from tutelage.data.load import load_comparisons, load_demonstrations
from tutelage.data.writers import export_comparisons, export_demonstrations

PROMPT = Prompt((Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Wie spät?")))
A, B, C = (Response(PROMPT.id, text, "authors") for text in ("Drei.", "Vier,\ndenke ich.", "Weiß nicht."))


def comparison(better: Response, worse: Response, preference: float = 1.0, weight: float = 1.0) -> Comparison:
    return Comparison(PROMPT.id, better.id, worse.id, ("j",), preference, weight)


def test_comparisons_come_back(tmp_path: Path) -> None:
    told = [comparison(A, B), comparison(B, C, 0.75, 4.0).swap(), comparison(A, C, 0.5)]
    path = tmp_path / "out.jsonl"
    assert (
        export_comparisons(path, told, {PROMPT.id: PROMPT}, {r.id: r for r in (A, B, C)}) == 2
    )  # not the tie
    found = load_comparisons([Source(source=str(path), format="conversational")]).records
    text = {r.id: r.text for one in found for r in one.responses}
    assert [[text[r] for group in one.judgement.ranking for r in group] for one in found] == [
        [A.text, B.text],
        [B.text, C.text],  # told the other way round, exported the right way round
    ]
    assert {one.prompt.id for one in found} == {PROMPT.id}
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (written[1]["preference"], written[1]["weight"]) == (0.75, 4.0)
    assert written[0]["chosen"] == [{"role": "assistant", "content": "Drei."}]


def test_a_missing_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"the record {B.id} was not given"):
        export_comparisons(tmp_path / "x", [comparison(A, B)], {PROMPT.id: PROMPT}, {A.id: A})


def test_demonstrations_come_back(tmp_path: Path) -> None:
    rows = [
        Demonstration(PROMPT, "Drei."),
        Demonstration(Prompt.of("Why?", category="helpful"), "So.", "ana"),
    ]
    path = tmp_path / "out.jsonl"
    assert export_demonstrations(path, rows) == 2
    found = load_demonstrations([Source(source=str(path))]).records
    assert [(d.prompt.id, d.response) for d in found] == [(d.prompt.id, d.response) for d in rows]
    assert (found[1].author, found[1].prompt.category) == ("ana", "helpful")


def test_the_hub_library_reads_what_is_written(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "out.jsonl"
    export_comparisons(path, [comparison(A, B)], {PROMPT.id: PROMPT}, {r.id: r for r in (A, B)})
    table = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table[0]["prompt"] == [m.to_dict() for m in PROMPT.messages]
    assert table[0]["rejected"] == [{"role": "assistant", "content": B.text}]
