"""Tables as JSON Lines, and back: every row of a table as it lies there, a file a table.

All tables are read at one moment, whatever others write meanwhile, so a folder that this makes is consistent.
`export.json` says what the folder is and is written last. Left out on purpose: merging into records that are
there already (`pipeline/exchange.py`), which wants each row checked; here all is kept or none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from tutelage.core.errors import StoreError
from tutelage.core.files import replace_text, replacing
from tutelage.store import tables
from tutelage.store.database import Database
from tutelage.store.migrations import MIGRATIONS

MANIFEST = "export.json"
RECORDS = ("prompts", "responses", "demonstrations", "judgements", "originals")
"""Tables of what people and models said, in the order in which one needs the other."""
CHUNK = 500


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """One object a line; the file is there whole or not at all. Returns how many."""
    count = 0
    with replacing(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def write_tables(connection: Connection, folder: Path, names: Sequence[str]) -> dict[str, int]:
    """The named tables into `folder`, rows by primary key; how many rows each has."""
    return {
        name: write_jsonl(folder / f"{name}.jsonl", _rows(connection, tables.metadata.tables[name]))
        for name in names
    }


def write_manifest(folder: Path, kind: str, rows: Mapping[str, int]) -> None:
    """What the folder is: `records` or `backup`, of which schema, with how many rows a file."""
    said = {
        "tutelage": kind,
        "schema": len(MIGRATIONS),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": dict(rows),
    }
    replace_text(folder / MANIFEST, json.dumps(said, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What `write_manifest` wrote; None if the folder has none. Raises `StoreError` if it cannot be used."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        kind, schema = said["tutelage"], int(said["schema"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise StoreError(f"{path} cannot be read ({problem}): export again") from None
    if kind not in ("records", "backup") or schema > len(MIGRATIONS):
        raise StoreError(f"{path} was written by a newer Tutelage: update this one")
    return said


def dump(database: Database, folder: Path) -> dict[str, int]:
    """A backup: every table into `folder`, which any database takes; how many rows each has."""
    names = [table.name for table in tables.metadata.sorted_tables]
    with database.snapshot() as moment, moment.read() as connection:
        rows = write_tables(connection, folder, names)
    write_manifest(folder, "backup", rows)
    return rows


def restore(folder: Path, database: Database) -> dict[str, int]:
    """A backup back into an empty database, all or nothing; how many rows each table has.

    Raises `StoreError` if the database holds anything, or the folder is not as it was written.
    """
    rows: Mapping[str, int] = (read_manifest(folder) or {}).get("rows", {})
    with database.begin() as connection:
        for table in tables.metadata.sorted_tables:
            if connection.execute(select(func.count()).select_from(table)).scalar_one():
                raise StoreError(
                    f"the database holds {table.name} already: restore a backup into a new project, "
                    "so that nothing is mixed"
                )
        for table in tables.metadata.sorted_tables:
            if table.name in rows:
                found = _insert(connection, table, folder / f"{table.name}.jsonl")
                if found != rows[table.name]:
                    raise StoreError(
                        f"{folder / table.name}.jsonl holds {found} rows instead of {rows[table.name]}: "
                        "take another backup"
                    )
                _count_on(connection, table)
    return dict(rows)


def _rows(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=CHUNK)
    for row in connection.execute(query).mappings():
        yield dict(row)


def _insert(connection: Connection, table: Table, path: Path) -> int:
    count = 0
    try:
        with path.open(encoding="utf-8") as stream:
            lines = enumerate(stream, start=1)
            while chunk := list(islice(lines, CHUNK)):
                rows = [_object(path, number, line) for number, line in chunk]
                connection.execute(insert(table), rows)
                count += len(rows)
    except OSError as problem:
        raise StoreError(f"{path} cannot be read ({problem.strerror}): take another backup") from None
    return count


def _count_on(connection: Connection, table: Table) -> None:
    """PostgreSQL numbers new rows by a counter of its own, which rows that bring their number do not move."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != "postgresql":
        return
    last = connection.execute(select(func.max(column))).scalar()
    if last is not None:
        connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), last)))


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StoreError(f"{path}:{number} is no row of a table: take another backup")
    return value
