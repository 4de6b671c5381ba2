"""Prompts, responses, demonstrations, judgements, and the index of artifacts."""

from __future__ import annotations

from sqlalchemy import Connection, text

STATEMENTS = (
    """
    CREATE TABLE prompts (
        id VARCHAR(16) PRIMARY KEY, messages JSON NOT NULL,
        source VARCHAR(255) NOT NULL, category VARCHAR(255) NOT NULL, split VARCHAR(64) NOT NULL
    )
    """,
    "CREATE INDEX ix_prompts_source ON prompts (source)",
    "CREATE INDEX ix_prompts_split ON prompts (split)",
    """
    CREATE TABLE responses (
        id VARCHAR(16) PRIMARY KEY, prompt_id VARCHAR(16) NOT NULL REFERENCES prompts (id),
        text TEXT NOT NULL, policy VARCHAR(255) NOT NULL, sampling JSON NOT NULL
    )
    """,
    "CREATE INDEX ix_responses_prompt_id ON responses (prompt_id)",
    "CREATE INDEX ix_responses_policy ON responses (policy)",
    """
    CREATE TABLE demonstrations (
        id VARCHAR(16) PRIMARY KEY, prompt_id VARCHAR(16) NOT NULL REFERENCES prompts (id),
        response TEXT NOT NULL, author VARCHAR(255) NOT NULL, guideline VARCHAR(255) NOT NULL
    )
    """,
    "CREATE INDEX ix_demonstrations_prompt_id ON demonstrations (prompt_id)",
    """
    CREATE TABLE judgements (
        id VARCHAR(16) PRIMARY KEY, prompt_id VARCHAR(16) NOT NULL REFERENCES prompts (id),
        shown JSON NOT NULL, ranking JSON NOT NULL,
        rater VARCHAR(255) NOT NULL, kind VARCHAR(16) NOT NULL, guideline VARCHAR(255) NOT NULL,
        reason TEXT NOT NULL, scores JSON NOT NULL, seconds FLOAT, split VARCHAR(64) NOT NULL
    )
    """,
    "CREATE INDEX ix_judgements_prompt_id ON judgements (prompt_id)",
    "CREATE INDEX ix_judgements_rater ON judgements (rater)",
    "CREATE INDEX ix_judgements_kind ON judgements (kind)",
    "CREATE INDEX ix_judgements_split ON judgements (split)",
    """
    CREATE TABLE artifacts (
        id VARCHAR(16) PRIMARY KEY, stage VARCHAR(64) NOT NULL, inputs JSON NOT NULL, recipe JSON NOT NULL,
        seed INTEGER NOT NULL, version VARCHAR(64) NOT NULL, code VARCHAR(255) NOT NULL,
        metrics JSON NOT NULL, files JSON NOT NULL, seconds FLOAT NOT NULL, finished VARCHAR(64) NOT NULL
    )
    """,
    "CREATE INDEX ix_artifacts_stage ON artifacts (stage)",
    "CREATE INDEX ix_artifacts_finished ON artifacts (finished)",
)


def up(connection: Connection) -> None:
    """Make the first tables."""
    for statement in STATEMENTS:
        connection.execute(text(statement))
