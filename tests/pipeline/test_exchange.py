"""Records out of a database and into another: nothing lost, nothing doubled, bad rows told by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims.people.says import EXPORTS
from tutelage.core.errors import DataError, StoreError
from tutelage.core.records import Demonstration, Judgement, Prompt, Record, Response
from tutelage.core.settings import Source
from tutelage.data.load import load_comparisons
from tutelage.pipeline.exporting import FORMATS, Held, backup, export
from tutelage.pipeline.importing import import_into
from tutelage.preferences.resolve import resolve_comparisons
from tutelage.store.database import Database
from tutelage.store.records import Records

TOOLS = sorted(path.stem for path in EXPORTS.glob("*.json"))
KINDS = ("prompts", "responses", "demonstrations", "judgements", "originals")


@contextmanager
def empty(folder: Path, name: str = "tutelage") -> Iterator[Database]:
    with Database.open(f"sqlite:///{name}.db", folder) as database:
        yield database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Three prompts: two raters and a model on the first, one on the second, nobody on the third."""
    with empty(tmp_path) as opened:
        records = Records(opened)
        first, second, third = (
            Prompt.of(f"{n}?", source="web", category="explain", split=split)
            for n, split in enumerate(("reward", "judge", ""))
        )
        records.prompts.add([first, second, third])
        answers = {
            p: [Response(p.id, t, "sft", {"top_p": 0.9}) for t in "abc"] for p in (first, second, third)
        }
        records.responses.add([r for group in answers.values() for r in group])
        a, b, c = (r.id for r in answers[first])
        x, y, z = (r.id for r in answers[second])
        records.judgements.add(
            [
                Judgement(first.id, (c, a, b), ((a,), (b, c)), "kim", reason="clear", seconds=9.5),
                Judgement(
                    first.id, (a, b, c), ((b,), (a,)), "ben", scores={a: {"honest": 2}}, split="reward"
                ),
                Judgement(first.id, (a, b, c), ((c,), (b,), (a,)), "a judge", kind="ai", split="reward"),
                Judgement(second.id, (x, y, z), ((x,), (y,), (z,)), "kim", guideline="v2", split="judge"),
            ]
        )
        records.demonstrations.add([Demonstration(third, "So.", "ann", "v1")])
        yield opened


def ids(database: Database, kinds: tuple[str, ...] = KINDS) -> dict[str, list[Record]]:
    records = Records(database)
    return {kind: list(getattr(records, kind).list()) for kind in kinds}


def people(database: Database) -> list[str]:
    return sorted(j.id for j in Records(database).judgements.list(kind="person"))


def said(database: Database) -> set[tuple[Any, ...]]:
    """What people's judgements say besides the ranking."""
    found = Records(database).judgements.list(kind="person")
    return {(j.rater, j.seconds, j.guideline, j.reason) for j in found}


def test_records_go_into_an_empty_database_without_loss(database: Database, tmp_path: Path) -> None:
    import_into(database, str(EXPORTS / "argilla.json"), Path())
    written = export(database, tmp_path / "out")
    with empty(tmp_path, "other") as other:
        done = import_into(other, "out", tmp_path)
        assert ids(other) == ids(database)
        assert done.set_aside == [] and not any(done.there.values())
        again = import_into(other, "out", tmp_path)
        assert not any(again.new.values()) and sum(again.there.values()) == sum(done.new.values())
    comparisons = [
        json.loads(line) for line in (tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()
    ]
    assert sum(done.new.values()) + len(comparisons) == written.rows
    held = Held.read(Records(database))
    assert [c["id"] for c in comparisons] == [c.id for c in resolve_comparisons(held.judgements)]


def test_what_is_here_keeps_its_words(database: Database, tmp_path: Path) -> None:
    """An export of elsewhere must not change the source, category or split of a prompt that is here."""
    rows = [{"prompt": "0?", "chosen": "a", "rejected": "q", "category": "other", "split": "measure"}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    import_into(database, "pairs.jsonl", tmp_path)
    import_into(database, str(EXPORTS / "argilla-v1.json"), Path())
    prompt = Records(database).prompts.get(Prompt.of("0?").id)
    assert prompt is not None
    assert (prompt.source, prompt.category, prompt.split) == ("web", "explain", "reward")


@pytest.mark.parametrize(
    ("name", "change", "field", "reason"),
    [
        ("judgements", {"rater": "someone else"}, "id", "and the content is that of"),
        (
            "judgements",
            {"id": None, "shown": ["x"], "ranking": [["x"]]},
            "shown",
            "the response x is neither",
        ),
        ("judgements", {"ranking": 7}, "", "its fields are not what they should be"),
        (
            "responses",
            {"id": None, "prompt_id": "nowhere"},
            "prompt_id",
            "the prompt nowhere is neither here",
        ),
        ("prompts", {"messages": 7}, "", "its fields are not what they should be"),
        ("demonstrations", {"colour": "red"}, "", "its fields are not what they should be"),
        ("demonstrations", {"prompt_id": "nowhere"}, "prompt_id", "its prompt is neither here"),
    ],
)
def test_a_row_that_was_changed_or_belongs_nowhere_is_set_aside(
    database: Database, tmp_path: Path, name: str, change: dict[str, Any], field: str, reason: str
) -> None:
    export(database, tmp_path / "out")
    path = tmp_path / "out" / f"{name}.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([*others, "{half a line", json.dumps(json.loads(first) | change)]) + "\n")
    with empty(tmp_path, "other") as other:
        done = import_into(other, "out", tmp_path)
        assert len(ids(other)[name]) == len(others)
    half, changed = done.set_aside[:2]
    assert (Path(half.file).name, half.line) == (f"{name}.jsonl", len(others) + 1)
    assert "not valid JSON" in half.reason
    assert (Path(changed.file).name, changed.line, changed.field) == (f"{name}.jsonl", len(others) + 2, field)
    assert reason in changed.reason


@pytest.mark.parametrize("name", TOOLS)
def test_a_tools_export_goes_in_and_out_unchanged(tmp_path: Path, name: str) -> None:
    with empty(tmp_path) as database:
        import_into(database, str(EXPORTS / f"{name}.json"), Path())
        export(database, tmp_path / "out.json", name)
        said, given = (json.loads(p.read_text()) for p in (tmp_path / "out.json", EXPORTS / f"{name}.json"))
        by_text = {json.dumps(row, sort_keys=True) for row in given}
        assert {json.dumps(row, sort_keys=True) for row in said} == by_text and len(said) == len(given)
        assert not any(import_into(database, "out.json", tmp_path).new.values())


@pytest.mark.parametrize("name", TOOLS)
def test_what_was_rated_here_comes_back_from_a_tool_undoubled(
    database: Database, tmp_path: Path, name: str
) -> None:
    before = people(database)
    written = export(database, tmp_path / "out.json", name)
    assert written.rows == 2
    done = import_into(database, "out.json", tmp_path)
    assert people(database) == before and done.set_aside == []
    with empty(tmp_path, "other") as other:
        import_into(other, "out.json", tmp_path)
        assert len(people(other)) == len(before)
        assert said(other) == said(database)


def test_a_rater_who_joins_in_the_tool_is_added(database: Database, tmp_path: Path) -> None:
    export(database, tmp_path / "out.json", "argilla")
    rows = json.loads((tmp_path / "out.json").read_text())
    user = "9e8d7c6b-0000-4000-8000-00000000aa33"
    rows[1]["responses"]["ranking"].append(
        {"value": ["response-3", "response-1", "response-2"], "user_id": user}
    )
    (tmp_path / "back.json").write_text(json.dumps(rows))
    done = import_into(database, "back.json", tmp_path)
    assert done.new["judgements"] == 1 and done.new["responses"] == 0
    (new,) = Records(database).judgements.list(rater=user)
    assert len(new.ranking) == 3


def test_a_rater_who_changed_the_answer_in_the_tool_is_told(tmp_path: Path) -> None:
    rows = json.loads((EXPORTS / "argilla.json").read_text())
    with empty(tmp_path) as database:
        import_into(database, str(EXPORTS / "argilla.json"), tmp_path)
        rows[0]["responses"]["ranking"][0]["value"].reverse()
        (tmp_path / "later.json").write_text(json.dumps(rows))
        done = import_into(database, "later.json", tmp_path)
        assert (done.new["judgements"], done.new["responses"], done.outdated) == (1, 0, 1)
        assert "changed or taken back in the tool since: 1 judgements, which stay here" in done.lines()
        export(database, tmp_path / "out.json", "argilla")
        # the first answer still stands here, but Argilla keeps one of each rater: the later one
        assert json.loads((tmp_path / "out.json").read_text())[:3] == rows


@pytest.mark.parametrize("format", ["trl", "hh", "ranking"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_other_formats_are_read_by_a_recipes_source(
    database: Database, tmp_path: Path, format: str, kind: str
) -> None:
    export(database, tmp_path / f"out.{kind}", format)
    found = load_comparisons([Source(source=str(tmp_path / f"out.{kind}"))])
    assert found.set_aside == ()
    # a > b and c by one rater, b > a by the other: a = b is a tie, a > c; on the second prompt 3 pairs
    assert len(found.records) == {"trl": 4, "hh": 4, "ranking": 3}[format]


def test_ranking_rows_go_back_into_their_own_database(database: Database, tmp_path: Path) -> None:
    before = ids(database)
    for kind in ("jsonl", "csv", "parquet"):
        export(database, tmp_path / f"out.{kind}", "ranking", models=True)
        assert not any(import_into(database, f"out.{kind}", tmp_path).new.values())
    assert {kind: [r.id for r in found] for kind, found in ids(database).items()} == {
        kind: [r.id for r in found] for kind, found in before.items()
    }


def test_a_part_of_it(database: Database, tmp_path: Path) -> None:
    def rows(name: str, **asked: Any) -> int:
        return export(database, tmp_path / name, "ranking", **asked).rows

    assert rows("a.jsonl") == 3
    assert rows("b.jsonl", models=True) == 4
    assert rows("c.jsonl", split="reward") == 2  # one of the two has its split from the prompt
    assert rows("d.jsonl", split="judge") == 1
    with pytest.raises(DataError, match="nothing to export as ranking in the split measure"):
        rows("e.jsonl", split="measure")
    assert export(database, tmp_path / "f.jsonl", "messages").rows == 1


def test_prompts_that_nobody_ranked_go_out_to_be_ranked(database: Database, tmp_path: Path) -> None:
    written = export(database, tmp_path / "out.json", "label-studio", unranked=True)
    rows = json.loads((tmp_path / "out.json").read_text())
    assert written.rows == 3
    assert sum(not row["annotations"] for row in rows) == 1
    with pytest.raises(DataError, match="no place for prompts that nobody has ranked"):
        export(database, tmp_path / "out.jsonl", "trl", unranked=True)


def test_ties_are_left_out_and_counted(database: Database, tmp_path: Path) -> None:
    assert export(database, tmp_path / "out.jsonl", "trl").lines() == [
        "left out: 2 comparisons that are ties: the format knows none"
    ]


def test_nothing_is_written_over(database: Database, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        export(database, tmp_path / "out.jsonl", "trl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    export(database, tmp_path / "out.jsonl", "trl", force=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    for force in (False, True):
        with pytest.raises(StoreError, match="is there already|holds other things"):
            export(database, tmp_path / "folder", force=force)
    export(database, tmp_path / "records")
    export(database, tmp_path / "records", force=True)
    with pytest.raises(StoreError, match="is there already"):
        backup(database, tmp_path, tmp_path / "records")


def test_an_export_that_fails_leaves_what_was_there(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(database, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tutelage.store.dump.write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        export(database, tmp_path / "out", force=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert not list(tmp_path.glob("*.tmp"))


def test_judgements_that_do_not_resolve_are_exported_all_the_same(database: Database, tmp_path: Path) -> None:
    prompt = Prompt.of("in two splits?")
    a, b = (Response(prompt.id, text, "sft") for text in "ab")
    records = Records(database)
    records.prompts.add([prompt])
    records.responses.add([a, b])
    for rater, split in (("kim", "reward"), ("ben", "measure")):
        records.judgements.add([Judgement(prompt.id, (a.id, b.id), ((a.id,), (b.id,)), rater, split=split)])
    (line,) = export(database, tmp_path / "out").lines()
    assert "file of comparisons" in line and "in the splits" in line
    with empty(tmp_path, "other") as other:
        import_into(other, "out", tmp_path)
        assert ids(other) == ids(database)


def test_what_cannot_be_asked_for(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no format 'nope': known are records, trl"):
        export(database, tmp_path / "out.jsonl", "nope")
    with pytest.raises(DataError, match="suffix that is not known"):
        export(database, tmp_path / "out.doc", "trl")
    with pytest.raises(DataError, match="no format 'nope' to read"):
        import_into(database, "x.jsonl", tmp_path, format="nope")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="holds several kinds: say --as"):
        import_into(database, "pack:starter", tmp_path)
    with empty(tmp_path, "other") as other:
        with pytest.raises(DataError, match="holds nothing to export yet"):
            export(other, tmp_path / "out")
        for format in FORMATS:
            with pytest.raises(DataError, match=f"nothing to export as {format}"):
                export(other, tmp_path / "out.jsonl", format)
    (tmp_path / "bad.json").write_text('[{"fields": {"prompt": "a"}, "responses": {}}]')
    with pytest.raises(DataError, match=r"nothing in bad\.json can be imported \(bad\.json:1"):
        import_into(database, "bad.json", tmp_path)


def test_demonstrations_and_prompts_come_in(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"prompt": "0?", "completion": "So."}\n{"prompt": "0?"}\n')
    (tmp_path / "p.csv").write_text("prompt\nWhy?\n")
    with empty(tmp_path) as database:
        done = import_into(database, "d.jsonl", tmp_path)
        assert (done.new["demonstrations"], done.new["prompts"], len(done.set_aside)) == (1, 1, 1)
        assert import_into(database, "p.csv", tmp_path).new == {"prompts": 1}
        assert (
            import_into(database, "pack:starter", tmp_path, kind="comparisons", limit=3).new["judgements"]
            == 3
        )


def test_a_backup_of_tables_goes_into_a_new_project(database: Database, tmp_path: Path) -> None:
    place = backup(database, tmp_path, as_tables=True)
    assert place.parent == tmp_path / "backups"
    with empty(tmp_path, "other") as other:
        import_into(other, str(place), tmp_path)
        assert ids(other) == ids(database)


def test_a_backup_of_sqlite_is_a_database(database: Database, tmp_path: Path) -> None:
    place = backup(database, tmp_path)
    with Database.open(f"sqlite:///{place}") as copy:
        assert ids(copy) == ids(database)
