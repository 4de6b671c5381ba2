"""A copy of a live SQLite database in one file, by SQLite's own online backup.

The copy is of one moment and holds everything that was committed before it; who writes meanwhile does not
wait. It is checked, made durable, and only then given its name. Other databases are dumped (`dump.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tutelage.core.errors import ResourceError, StoreError
from tutelage.core.files import sync
from tutelage.store.database import Database


def sqlite_file(database: Database) -> Path | None:
    """Where the database lies, if it is a SQLite file."""
    url = database.engine.url
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def copy_sqlite(source: Path, target: Path) -> int:
    """Copy the database at `source` to `target`; its size in bytes. Raises `StoreError`, `ResourceError`."""
    fresh = target.with_name(f"{target.name}.tmp")
    try:
        fresh.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(source)) as live:
            with contextlib.closing(sqlite3.connect(fresh)) as copy:
                live.backup(copy)
                # The copy shall be one file: without this it would want a -wal beside it.
                copy.execute("PRAGMA journal_mode=DELETE")
                found = [row[0] for row in copy.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise StoreError(
                f"the copy of {source} is damaged ({found[0]}), so it was thrown away: try again"
            )
        sync(fresh)
        fresh.replace(target)
    except sqlite3.Error as problem:
        if "full" in str(problem):
            raise ResourceError(f"the disk is full: free some space for a copy of {source}") from None
        raise StoreError(f"{source} could not be copied to {target}: {problem}") from None
    finally:
        fresh.unlink(missing_ok=True)
    sync(target.parent)
    return target.stat().st_size
