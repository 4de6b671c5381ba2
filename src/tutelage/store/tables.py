"""The tables of a project's database, as queries see them. `migrations/` is what makes them.

Lists and mappings are JSON columns; tie groups of a ranking are a list of lists of response ids.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Integer, MetaData, String, Table, Text

metadata = MetaData()

prompts = Table(
    "prompts",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("messages", JSON, nullable=False),
    Column("source", String(255), nullable=False, index=True),
    Column("category", String(255), nullable=False),
    Column("split", String(64), nullable=False, index=True),
)

responses = Table(
    "responses",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("prompt_id", String(16), ForeignKey("prompts.id"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("policy", String(255), nullable=False, index=True),
    Column("sampling", JSON, nullable=False),
)

demonstrations = Table(
    "demonstrations",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("prompt_id", String(16), ForeignKey("prompts.id"), nullable=False, index=True),
    Column("response", Text, nullable=False),
    Column("author", String(255), nullable=False),
    Column("guideline", String(255), nullable=False),
)

judgements = Table(
    "judgements",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("prompt_id", String(16), ForeignKey("prompts.id"), nullable=False, index=True),
    Column("shown", JSON, nullable=False),
    Column("ranking", JSON, nullable=False),
    Column("rater", String(255), nullable=False, index=True),
    Column("kind", String(16), nullable=False, index=True),
    Column("guideline", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("seconds", Float),
    Column("split", String(64), nullable=False, index=True),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("stage", String(64), nullable=False, index=True),
    Column("inputs", JSON, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("code", String(255), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("files", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("finished", String(64), nullable=False, index=True),
)
