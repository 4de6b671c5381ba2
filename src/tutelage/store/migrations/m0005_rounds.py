"""Rounds of blind evaluation, and the pairs of answers that each asks about."""

from __future__ import annotations

from sqlalchemy import Connection, text

STATEMENTS = (
    """
    CREATE TABLE rounds (
        id VARCHAR(16) PRIMARY KEY, number INTEGER NOT NULL, models JSON NOT NULL,
        evaluation VARCHAR(16) NOT NULL, raters INTEGER NOT NULL,
        confidence FLOAT NOT NULL, margin FLOAT NOT NULL,
        opened VARCHAR(32) NOT NULL, closed VARCHAR(32), results JSON, UNIQUE (number)
    )
    """,
    """
    CREATE TABLE round_units (
        round_id VARCHAR(16) NOT NULL REFERENCES rounds (id), unit VARCHAR(16) NOT NULL,
        prompt_id VARCHAR(16) NOT NULL REFERENCES prompts (id), place INTEGER NOT NULL,
        kind VARCHAR(64) NOT NULL, models JSON NOT NULL, responses JSON NOT NULL, alike INTEGER NOT NULL,
        PRIMARY KEY (round_id, unit)
    )
    """,
)


def up(connection: Connection) -> None:
    """Make the tables of rounds."""
    for statement in STATEMENTS:
        connection.execute(text(statement))
