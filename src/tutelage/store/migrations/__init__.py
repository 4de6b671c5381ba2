"""Ordered changes of the database's shape. Each is a module with a sentence and `up(connection)`.

A migration that was ever released is never edited: a further one is added to the list. What was applied
stands in the table `schema_version`, one row each.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, inspect, text

from tutelage.core.errors import StoreError
from tutelage.store.migrations import (
    m0001_records,
    m0002_people,
    m0003_originals,
    m0004_asking,
    m0005_rounds,
)

Migration = tuple[str, Callable[[Connection], None]]

MIGRATIONS: tuple[Migration, ...] = (
    ("0001 records and artifacts", m0001_records.up),
    ("0002 people", m0002_people.up),
    ("0003 originals", m0003_originals.up),
    ("0004 asking", m0004_asking.up),
    ("0005 rounds", m0005_rounds.up),
)


ONE_AT_A_TIME = 7_482_361
"""Number of the lock under which PostgreSQL is migrated; any number will do, if it is always the same."""


def version(connection: Connection) -> int:
    """How many migrations a database has had."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return connection.execute(text("SELECT MAX(number) FROM schema_version")).scalar() or 0


def migrate(connection: Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Apply what is missing, in order; returns how many were applied.

    Raises `StoreError` if the database was made by a newer Tutelage.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ONE_AT_A_TIME})
    at = version(connection)
    if at > len(migrations):
        raise StoreError(
            f"the database has schema version {at} and this Tutelage knows {len(migrations)}: update Tutelage"
        )
    if at == 0:
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS schema_version "
                "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT NOT NULL)"
            )
        )
    for number, (name, up) in enumerate(migrations[at:], start=at + 1):
        up(connection)
        connection.execute(
            text("INSERT INTO schema_version (number, name, applied) VALUES (:number, :name, :applied)"),
            {"number": number, "name": name, "applied": datetime.now(UTC).isoformat(timespec="seconds")},
        )
    return len(migrations) - at
