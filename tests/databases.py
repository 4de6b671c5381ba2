"""Databases for tests: SQLite always, PostgreSQL where a server is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from benchmarks.postgres import ADDRESS, NoPostgres, fresh_postgres
from benchmarks.postgres import postgres_server as server_or_reason

__all__ = ["ADDRESS", "KINDS", "fresh_postgres", "postgres_server"]
KINDS = ("sqlite", "postgresql")


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server; a skip with the reason where there is none."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(server_or_reason())
        except NoPostgres as reason:
            pytest.skip(str(reason))
        yield address
