"""The project's database: SQLite in write-ahead mode by default, any URL that SQLAlchemy takes.

Takes a URL, makes an engine with its tables up to date. Left out on purpose: what is asked of it
(`records.py`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError

from tutelage.core.errors import ResourceError, StoreError, TutelageError
from tutelage.store.migrations import MIGRATIONS, migrate, version

WAIT_SECONDS = 30.0
"""How long a writer waits for another one before it gives up."""
CONNECTIONS = 40
"""At once, and kept: as many as a server has threads. A new one for each request would cost more than the request."""


class Database:
    """An open database. Use it as a context manager, or `close` it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._one_writer = engine.url.get_backend_name() == "sqlite"
        self._writing = threading.Lock()

    @classmethod
    def open(cls, url: str, project: Path | None = None) -> Self:
        """Open (and make, and migrate) the database at `url`; a relative SQLite path starts at `project`.

        Raises `StoreError` if it cannot be opened, is damaged, or is of a newer version.
        """
        place = _located(url, project)
        try:
            engine = create_engine(place, **_arguments(place), pool_pre_ping=True)
        except ImportError as problem:
            raise StoreError(
                f"the database '{_shown(place)}' cannot be used: {_first_line(problem)}; for PostgreSQL "
                "install 'tutelage[postgres]'"
            ) from None
        except (ArgumentError, NoSuchModuleError) as problem:
            raise StoreError(
                f"the database '{_shown(place)}' cannot be used: {_first_line(problem)}"
            ) from None
        if place.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        database = cls(engine)
        try:
            with database.read() as connection:
                known = version(connection)
            if known != len(MIGRATIONS):
                with database.begin() as connection:
                    migrate(connection)
        except BaseException:
            engine.dispose()
            raise
        return database

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that may write: all or nothing is kept. Database faults become one sentence."""
        with self._turn(), self._transaction(self.engine.execution_options(writes=True)) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; it waits for nobody."""
        with self._transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Database]:
        """The database as it is at this moment, to read from in one transaction whatever others write."""
        engine = self.engine
        if engine.url.get_backend_name() != "sqlite":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._transaction(engine) as connection:
            yield _Moment(self.engine, connection)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer of this process at a time where there can be only one.

        SQLite's own way of waiting is to look again every now and then, up to 100 ms later, whoever came first.
        """
        if not self._one_writer:
            yield
            return
        if not self._writing.acquire(timeout=WAIT_SECONDS):
            raise _busy(_shown(self.engine.url))
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise _explained(problem, _shown(self.engine.url)) from problem

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Moment(Database):
    """A database of which one transaction is read."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        super().__init__(engine)
        self._connection = connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """The one transaction."""
        yield self._connection


def _located(url: str, project: Path | None) -> URL:
    try:
        place = make_url(url)
    except ArgumentError:
        raise StoreError(
            f"'{url}' is no database address: write `database: sqlite:///tutelage.db` in the recipe"
        ) from None
    if place.drivername == "postgresql":
        place = place.set(drivername="postgresql+psycopg")
    name = place.database
    if place.get_backend_name() == "sqlite" and name and name != ":memory:":
        path = (project or Path()) / name
        if not path.parent.is_dir():
            raise StoreError(
                f"the folder {path.parent} for the database does not exist: make it, or change `database`"
            )
        return place.set(database=str(path))
    return place


def _arguments(place: URL) -> dict[str, Any]:
    # The last one used is taken first: its caches are warm.
    kept = {"pool_size": CONNECTIONS, "pool_use_lifo": True}
    if place.get_backend_name() != "sqlite":
        return kept
    waits = {"connect_args": {"timeout": WAIT_SECONDS}}
    in_memory = place.database in (None, "", ":memory:")  # one connection a thread, and no others
    return waits if in_memory else kept | waits


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    cursor = connection.cursor()
    # Readers and one writer at a time do not wait for each other.
    cursor.execute("PRAGMA journal_mode=WAL")
    # A commit is on the disk before a rater is thanked: it survives a power failure, not only a crash.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Begun by us, since Python's sqlite3 begins by itself only before it changes rows, not tables. A writer
    # takes its place in the queue at once: a reader that turned writer later could not wait.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _explained(problem: SQLAlchemyError, where: str) -> TutelageError:
    said = _first_line(getattr(problem, "orig", None) or problem)
    if "disk is full" in said or "No space left" in said:
        return ResourceError(
            f"the disk is full, so nothing could be written to the database {where}: free some space"
        )
    if "not a database" in said or "malformed" in said:
        return StoreError(
            f"the database {where} is damaged ({said}): move it away and run again, and it is made anew of what "
            "stages left; what people said on the pages comes back from a backup alone"
        )
    if "readonly" in said or "unable to open" in said:
        return StoreError(f"the database {where} cannot be written ({said}): check the folder's permissions")
    if "locked" in said:
        return _busy(where)
    if "FOREIGN KEY" in said or "foreign key" in said:
        return StoreError(
            f"the database {where} lacks the prompt that a record belongs to: add prompts first"
        )
    if "connection" in said and isinstance(problem, OperationalError):
        return StoreError(
            f"the database {where} cannot be reached ({said}): start its server, or change `database`"
        )
    kind = "refused" if isinstance(problem, DatabaseError) else "could not be asked"
    return StoreError(f"the database {where} {kind}: {said}")


def _busy(where: str) -> StoreError:
    return StoreError(f"the database {where} was busy for {WAIT_SECONDS:.0f} seconds: stop the other program")


def _shown(place: URL) -> str:
    name = place.database or "in memory"
    return name if place.get_backend_name() == "sqlite" else place.render_as_string(hide_password=True)


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return (lines[0] if lines else type(problem).__name__).rstrip(".")[:200]
