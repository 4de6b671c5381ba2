"""The database: migrations make the tables that queries expect, and faults are one sentence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import UniqueConstraint, inspect, text

from tutelage.core.errors import ResourceError, StoreError
from tutelage.core.records import Prompt, Response
from tutelage.store import database, tables
from tutelage.store.database import Database
from tutelage.store.migrations import MIGRATIONS, migrate, version
from tutelage.store.records import Records

URL = "sqlite:///tutelage.db"


def test_migrations_make_exactly_the_tables_that_queries_know(database_url: str, tmp_path: Path) -> None:
    with Database.open(database_url, tmp_path) as db:
        there = inspect(db.engine)
        assert set(there.get_table_names()) == {*tables.metadata.tables, "schema_version"}
        for name, table in tables.metadata.tables.items():
            columns = {c["name"]: c for c in there.get_columns(name)}
            assert list(columns) == [c.name for c in table.columns]
            for column in table.columns:
                made = columns[column.name]
                assert made["nullable"] == column.nullable or column.primary_key
                assert made["type"]._type_affinity is column.type._type_affinity, column
            made = [i for i in there.get_indexes(name) if not i.get("duplicates_constraint")]
            assert {tuple(i["column_names"]) for i in made} == {
                tuple(c.name for c in index.columns) for index in table.indexes
            }
            alone = {tuple(u["column_names"]) for u in there.get_unique_constraints(name)}
            assert alone == {
                tuple(c.name for c in one.columns)
                for one in table.constraints
                if isinstance(one, UniqueConstraint)
            }
            keys = {(k["constrained_columns"][0], k["referred_table"]) for k in there.get_foreign_keys(name)}
            assert keys == {(k.parent.name, k.column.table.name) for k in table.foreign_keys}


def test_writers_of_one_process_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [Prompt.of(f"Question {number}?") for number in range(40)]
    with Database.open(URL, tmp_path) as db, ThreadPoolExecutor(8) as threads:
        monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)  # SQLite itself was told 30 seconds
        with db.begin():
            refused = threads.submit(Records(db).prompts.add, prompts[:1])
            with pytest.raises(StoreError, match="busy"):
                refused.result(timeout=15)
            assert db.engine.pool.checkedout() == 1  # who waits holds no connection
        monkeypatch.undo()
        assert sum(threads.map(lambda prompt: Records(db).prompts.add([prompt]), prompts)) == len(prompts)


def test_migrating_again_changes_nothing(database_url: str, tmp_path: Path) -> None:
    with Database.open(database_url, tmp_path) as db, db.begin() as connection:
        assert migrate(connection) == 0
        rows = connection.execute(text("SELECT number, name FROM schema_version")).all()
    assert [tuple(row) for row in rows] == [(n, name) for n, (name, _) in enumerate(MIGRATIONS, start=1)]


def test_later_migrations_are_applied_in_order_to_an_older_database(tmp_path: Path) -> None:
    more = (
        *MIGRATIONS,
        ("0002 a table", lambda c: c.execute(text("CREATE TABLE extra (id INTEGER)"))),
        ("0003 a column of it", lambda c: c.execute(text("ALTER TABLE extra ADD COLUMN word TEXT"))),
    )
    with Database.open(URL, tmp_path) as db:
        with db.begin() as connection:
            assert migrate(connection, more) == 2
        assert [c["name"] for c in inspect(db.engine).get_columns("extra")] == ["id", "word"]
    known = len(MIGRATIONS)
    with pytest.raises(StoreError, match=rf"schema version {known + 2} .* knows {known}: update Tutelage"):
        Database.open(URL, tmp_path)


def test_many_may_open_a_new_database_at_once(database_url: str, tmp_path: Path) -> None:
    def opened(_: int) -> int:
        with Database.open(database_url, tmp_path) as db, db.read() as connection:
            return version(connection)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(4))) == [len(MIGRATIONS)] * 4


def test_opening_waits_for_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    with Database.open(URL, tmp_path) as one, one.begin() as connection:
        connection.execute(text("INSERT INTO prompts VALUES ('a', '[]', '', '', '')"))
        with Database.open(URL, tmp_path) as two:
            assert Records(two).prompts.count() == 0


def test_a_migration_that_fails_leaves_the_database_as_it_was(database_url: str, tmp_path: Path) -> None:
    def breaks(connection) -> None:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))
        connection.execute(text("THIS IS NO SQL"))

    with Database.open(database_url, tmp_path) as db:
        with pytest.raises(StoreError, match="refused"), db.begin() as connection:
            migrate(connection, (*MIGRATIONS, ("0002 breaks", breaks)))
        assert "half" not in inspect(db.engine).get_table_names()


def test_sqlite_writes_ahead_and_lies_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with Database.open(URL, tmp_path) as db, db.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
    assert (tmp_path / "tutelage.db").exists() and not list(elsewhere.iterdir())


def test_a_transaction_is_all_or_nothing(database_url: str, tmp_path: Path) -> None:
    known, unknown = Prompt.of("known"), Prompt.of("unknown")
    with Database.open(database_url, tmp_path) as db:
        records = Records(db)
        records.prompts.add([known])
        orphaned = [Response(known.id, "fine", "sft"), Response(unknown.id, "no prompt", "sft")]
        with pytest.raises(StoreError, match=r"lacks the prompt .*: add prompts first"):
            records.responses.add(orphaned)
        assert records.responses.count() == 0


def test_a_reader_does_not_wait_for_a_writer(database_url: str, tmp_path: Path) -> None:
    with Database.open(database_url, tmp_path) as one, Database.open(database_url, tmp_path) as two:
        Records(one).prompts.add([Prompt.of("first")])
        with one.begin() as connection:
            connection.execute(text("UPDATE prompts SET split = 'being written'"))
            assert [p.split for p in Records(two).prompts.list()] == [""]


def test_a_busy_database_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    with Database.open(URL, tmp_path) as one, Database.open(URL, tmp_path) as two:
        Records(one).prompts.add([Prompt.of("first")])
        with one.begin() as connection:
            connection.execute(text("UPDATE prompts SET split = 'being written'"))
            with pytest.raises(StoreError, match="was busy"):
                Records(two).prompts.add([Prompt.of("second")])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url", "is no database address: write `database: sqlite:///tutelage.db`"),
        ("nosuchkind://host/name", "cannot be used"),
        ("mysql://me@host/name", "No module named 'MySQLdb'"),
        ("postgresql://me:secret@127.0.0.1:1/name", r"cannot be reached .*: start its server"),
        ("sqlite:///no/such/folder/tutelage.db", "does not exist: make it"),
    ],
)
def test_bad_addresses(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Database.open(url, tmp_path)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Database.open("nosuchkind://me:secret@host/name", tmp_path)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "tutelage.db").write_bytes(b"this was overwritten by something else" * 200)
    with pytest.raises(StoreError, match=r"is damaged .*: move it away"):
        Database.open(URL, tmp_path)


def test_a_full_disk(tmp_path: Path) -> None:
    with Database.open(URL, tmp_path) as db:
        with db.begin() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar()
        with pytest.raises(ResourceError, match="disk is full"), db.begin() as connection:
            # SQLite's own limit gives the same error as a disk without space.
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            values = [{"i": str(i), "t": "x" * 5000} for i in range(50)]
            connection.execute(text("INSERT INTO prompts VALUES (:i, :t, '', '', '')"), values)
