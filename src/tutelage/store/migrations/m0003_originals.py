"""Rows of other rating tools as they came, so that they can go out unchanged."""

from __future__ import annotations

from sqlalchemy import Connection, text

STATEMENTS = (
    """
    CREATE TABLE originals (
        id VARCHAR(16) PRIMARY KEY, prompt_id VARCHAR(16) NOT NULL REFERENCES prompts (id),
        format VARCHAR(64) NOT NULL, name TEXT NOT NULL, content JSON NOT NULL,
        responses JSON NOT NULL, judgement_ids JSON NOT NULL
    )
    """,
    "CREATE INDEX ix_originals_prompt_id ON originals (prompt_id)",
    "CREATE INDEX ix_originals_format ON originals (format)",
)


def up(connection: Connection) -> None:
    """Make the table of originals."""
    for statement in STATEMENTS:
        connection.execute(text(statement))
