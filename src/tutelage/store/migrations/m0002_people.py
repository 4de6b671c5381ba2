"""Raters, invitations, sessions; what each was asked, drafts, gold questions, and problems reported."""

from __future__ import annotations

from sqlalchemy import Connection, text

STATEMENTS = (
    """
    CREATE TABLE raters (
        id VARCHAR(16) PRIMARY KEY, name VARCHAR(80) NOT NULL, name_key VARCHAR(160) NOT NULL,
        role VARCHAR(16) NOT NULL, password TEXT NOT NULL, groups JSON NOT NULL,
        active INTEGER NOT NULL, created VARCHAR(32) NOT NULL, UNIQUE (name_key)
    )
    """,
    """
    CREATE TABLE invitations (
        token VARCHAR(64) PRIMARY KEY, role VARCHAR(16) NOT NULL, name VARCHAR(80) NOT NULL,
        groups JSON NOT NULL, expires VARCHAR(32) NOT NULL,
        used_by VARCHAR(16) REFERENCES raters (id)
    )
    """,
    """
    CREATE TABLE sessions (
        token VARCHAR(64) PRIMARY KEY, rater_id VARCHAR(16) NOT NULL REFERENCES raters (id),
        expires VARCHAR(32) NOT NULL
    )
    """,
    "CREATE INDEX ix_sessions_rater_id ON sessions (rater_id)",
    """
    CREATE TABLE tasks (
        id VARCHAR(32) PRIMARY KEY, rater_id VARCHAR(16) NOT NULL REFERENCES raters (id),
        prompt_id VARCHAR(16) NOT NULL REFERENCES prompts (id), unit VARCHAR(16) NOT NULL,
        shown JSON NOT NULL, kind VARCHAR(16) NOT NULL, state VARCHAR(16) NOT NULL,
        opened VARCHAR(32) NOT NULL, finished VARCHAR(32),
        judgement_id VARCHAR(16), answer JSON, agreed INTEGER,
        UNIQUE (rater_id, unit)
    )
    """,
    "CREATE INDEX ix_tasks_unit ON tasks (kind, unit, state, opened)",
    """
    CREATE TABLE drafts (
        task_id VARCHAR(32) PRIMARY KEY REFERENCES tasks (id), content JSON NOT NULL,
        saved VARCHAR(32) NOT NULL
    )
    """,
    """
    CREATE TABLE gold (
        prompt_id VARCHAR(16) PRIMARY KEY REFERENCES prompts (id), responses JSON NOT NULL,
        expected JSON NOT NULL, explanation JSON NOT NULL
    )
    """,
    """
    CREATE TABLE given (
        judgement_id VARCHAR(16) PRIMARY KEY REFERENCES judgements (id),
        split VARCHAR(64) NOT NULL, given VARCHAR(32) NOT NULL
    )
    """,
    """
    CREATE TABLE withdrawn (
        task_id VARCHAR(32) NOT NULL REFERENCES tasks (id), withdrawn VARCHAR(32) NOT NULL,
        answer JSON NOT NULL, judgement_id VARCHAR(16), judgement JSON,
        PRIMARY KEY (task_id, withdrawn)
    )
    """,
    "CREATE INDEX ix_withdrawn_judgement_id ON withdrawn (judgement_id)",
    """
    CREATE TABLE problems (
        id VARCHAR(32) PRIMARY KEY, task_id VARCHAR(32) NOT NULL REFERENCES tasks (id),
        text TEXT NOT NULL, reported VARCHAR(32) NOT NULL
    )
    """,
)


def up(connection: Connection) -> None:
    """Make the tables of people and their work."""
    for statement in STATEMENTS:
        connection.execute(text(statement))
