"""How each task was dealt (those before at random), and what a reward model says of responses that wait."""

from __future__ import annotations

from sqlalchemy import Connection, text

STATEMENTS = (
    "ALTER TABLE tasks ADD COLUMN dealt VARCHAR(8) NOT NULL DEFAULT 'random'",
    """
    CREATE TABLE waiting_scores (
        response_id VARCHAR(16) PRIMARY KEY REFERENCES responses (id),
        artifact_id VARCHAR(16) NOT NULL, scores JSON NOT NULL
    )
    """,
)


def up(connection: Connection) -> None:
    """Add the column and make the table."""
    for statement in STATEMENTS:
        connection.execute(text(statement))
