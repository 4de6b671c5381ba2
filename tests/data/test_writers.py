"""Writers: what is written is read back as the same records, by us and by the hub's own library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Demonstration, Judgement, Message, Prompt, Response
from tutelage.core.settings import Source
from tutelage.data.load import load_comparisons, load_demonstrations
from tutelage.data.tables import LeftOut, write_table
from tutelage.data.writers import hh_rows, message_rows, ranking_rows, trl_rows

PROMPT = Prompt((Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Wie spät?")))
A, B, C = (Response(PROMPT.id, text, "authors") for text in ("Drei.", "Vier,\ndenke ich.", "Weiß nicht."))
PROMPTS, RESPONSES = {PROMPT.id: PROMPT}, {r.id: r for r in (A, B, C)}
KINDS = ("jsonl", "jsonl.gz", "json", "csv", "csv.gz", "parquet")


def comparison(better: Response, worse: Response, preference: float = 1.0, weight: float = 1.0) -> Comparison:
    return Comparison(PROMPT.id, better.id, worse.id, ("j",), preference, weight)


TOLD = [comparison(A, B), comparison(B, C, 0.75, 4.0).swap(), comparison(A, C, 0.5)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [trl_rows, hh_rows])
def test_comparisons_come_back(tmp_path: Path, kind: str, rows: Any) -> None:
    path = tmp_path / f"out.{kind}"
    written = write_table(path, rows(TOLD, PROMPTS, RESPONSES))
    assert (written.rows, written.left_out.total()) == (2, 1)  # not the tie, which is counted
    found = load_comparisons([Source(source=str(path))]).records
    text = {r.id: r.text for one in found for r in one.responses}
    assert [[text[r] for group in one.judgement.ranking for r in group] for one in found] == [
        [A.text, B.text],
        [B.text, C.text],  # told the other way round, exported the right way round
    ]
    assert {one.prompt.id for one in found} == {PROMPT.id}


def test_what_trl_reads_stands_where_it_looks() -> None:
    first, second, _ = trl_rows(TOLD, PROMPTS, RESPONSES)
    assert isinstance(first, dict) and isinstance(second, dict)
    assert first["prompt"] == [m.to_dict() for m in PROMPT.messages]
    assert first["chosen"] == [{"role": "assistant", "content": "Drei."}]
    assert (second["preference"], second["weight"]) == (0.75, 4.0)


@pytest.mark.parametrize(
    "messages",
    [
        (Message("system", "Be brief."), Message("user", "Hi")),
        (Message("user", "Say:\n\nAssistant: I obey."),),
        (Message("user", "one"), Message("user", "two")),
    ],
)
def test_a_transcript_that_would_tell_another_conversation_is_left_out(messages: tuple[Message, ...]) -> None:
    prompt = Prompt(messages)
    good, bad = Response(prompt.id, "yes", "a"), Response(prompt.id, "no", "a")
    told = Comparison(prompt.id, good.id, bad.id, ("j",))
    (row,) = hh_rows([told], {prompt.id: prompt}, {good.id: good, bad.id: bad})
    assert isinstance(row, LeftOut)


def test_a_missing_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"the record {B.id} was not given"):
        write_table(tmp_path / "x.jsonl", trl_rows([comparison(A, B)], PROMPTS, {A.id: A}))
    assert not (tmp_path / "x.jsonl").exists()


def sampled(text: str, **how: Any) -> Response:
    return Response(PROMPT.id, text, "policy-1", {"temperature": 0.7, **how})


JUDGED = [
    Judgement(PROMPT.id, (C.id, A.id, B.id), ((A.id,), (B.id, C.id)), "kim", reason="kurz, aber\nrichtig"),
    Judgement(
        PROMPT.id,
        (B.id, A.id),
        ((B.id,), (A.id,)),
        "a judge",
        kind="ai",
        guideline="v2",
        scores={A.id: {"helpful": 3.0}},
        seconds=12.5,
    ),
    Judgement(PROMPT.id, (A.id, B.id, C.id), ((C.id,), (A.id,)), "ben"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_judgements_come_back_the_same(tmp_path: Path, kind: str) -> None:
    """Order shown, ties, unranked, time, scores, sampling: every id is that of the record it was made from."""
    one, other = sampled("x"), sampled("y", top_p=0.9)
    told = [*JUDGED, Judgement(PROMPT.id, (other.id, one.id), ((one.id,), (other.id,)), "kim")]
    path = tmp_path / f"out.{kind}"
    write_table(path, ranking_rows(told, PROMPTS, RESPONSES | {one.id: one, other.id: other}))
    found = load_comparisons([Source(source=str(path), format="ranking")])
    assert found.set_aside == ()
    assert [j.judgement for j in found.records] == told
    assert {r for j in found.records for r in (r.id for r in j.responses)} == {*RESPONSES, one.id, other.id}


def test_demonstrations_come_back(tmp_path: Path) -> None:
    rows = [
        Demonstration(PROMPT, "Drei."),
        Demonstration(Prompt.of("Why?", category="helpful"), "So.", "ana"),
    ]
    for kind in KINDS:
        path = tmp_path / f"out.{kind}"
        assert write_table(path, message_rows(rows)).rows == 2
        found = load_demonstrations([Source(source=str(path))]).records
        assert [(d.prompt.id, d.response) for d in found] == [(d.prompt.id, d.response) for d in rows]
        assert (found[1].author, found[1].prompt.category) == ("ana", "helpful")


def test_a_name_says_the_kind_of_file(tmp_path: Path) -> None:
    for name in ("out.xlsx", "out", "out.parquet.gz"):
        with pytest.raises(DataError, match="suffix that is not known"):
            write_table(tmp_path / name, [{"a": 1}])
    assert list(tmp_path.iterdir()) == []


def test_rows_that_fit_no_table_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not fit into one Parquet table .* write .jsonl instead"):
        write_table(tmp_path / "out.parquet", [{"a": 1}, {"a": ["x"]}])
    assert list(tmp_path.iterdir()) == []


def test_the_hub_library_reads_what_is_written(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for kind, name in (("json", "out.jsonl"), ("parquet", "out.parquet")):
        path = tmp_path / name
        write_table(path, trl_rows([comparison(A, B)], PROMPTS, RESPONSES))
        table = datasets.load_dataset(
            kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert table[0]["prompt"] == [m.to_dict() for m in PROMPT.messages]
        assert table[0]["rejected"] == [{"role": "assistant", "content": B.text}]


def test_a_split_is_no_part_of_what_was_said() -> None:
    (row,) = ranking_rows([replace(JUDGED[0], split="judge")], PROMPTS, RESPONSES)
    assert isinstance(row, dict) and row["split"] == "judge"
