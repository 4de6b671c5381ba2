"""The tables of a project's database, as queries see them. `migrations/` is what makes them.

Lists and mappings are JSON columns; tie groups of a ranking are a list of lists of response ids.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

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

originals = Table(
    "originals",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("prompt_id", String(16), ForeignKey("prompts.id"), nullable=False, index=True),
    Column("format", String(64), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("content", JSON, nullable=False),
    Column("responses", JSON, nullable=False),
    Column("judgement_ids", JSON, nullable=False),
)

raters = Table(
    "raters",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("name_key", String(160), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password", Text, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("active", Integer, nullable=False),
    Column("created", String(32), nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("name", String(80), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("expires", String(32), nullable=False),
    Column("used_by", String(16), ForeignKey("raters.id")),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("rater_id", String(16), ForeignKey("raters.id"), nullable=False, index=True),
    Column("expires", String(32), nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rater_id", String(16), ForeignKey("raters.id"), nullable=False),
    Column("prompt_id", String(16), ForeignKey("prompts.id"), nullable=False),
    Column("unit", String(16), nullable=False),
    Column("shown", JSON, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened", String(32), nullable=False),
    Column("finished", String(32)),
    Column("judgement_id", String(16)),
    Column("answer", JSON(none_as_null=True)),
    Column("agreed", Integer),
    Column("dealt", String(8), nullable=False, server_default="random"),
    UniqueConstraint("rater_id", "unit"),
    Index("ix_tasks_unit", "kind", "unit", "state", "opened"),
)
"""What a rater was asked. `unit` names the set of responses shown: a prompt with new responses is new work.

`dealt` is `random` or `active`: only where it was at random does agreement speak for all prompts.
"""

waiting_scores = Table(
    "waiting_scores",
    metadata,
    Column("response_id", String(16), ForeignKey("responses.id"), primary_key=True),
    Column("artifact_id", String(16), nullable=False),
    Column("scores", JSON, nullable=False),
)
"""Of responses that wait for raters: a score by each member of the reward model named, in log-odds."""

drafts = Table(
    "drafts",
    metadata,
    Column("task_id", String(32), ForeignKey("tasks.id"), primary_key=True),
    Column("content", JSON, nullable=False),
    Column("saved", String(32), nullable=False),
)

gold = Table(
    "gold",
    metadata,
    Column("prompt_id", String(16), ForeignKey("prompts.id"), primary_key=True),
    Column("responses", JSON, nullable=False),
    Column("expected", JSON, nullable=False),
    Column("explanation", JSON, nullable=False),
)

given = Table(
    "given",
    metadata,
    Column("judgement_id", String(16), ForeignKey("judgements.id"), primary_key=True),
    Column("split", String(64), nullable=False),
    Column("given", String(32), nullable=False),
)
"""Judgements that came from the pages or by an import, and from no artifact: runs learn from them.

`split` is the one that was stated, if any.
"""

withdrawn = Table(
    "withdrawn",
    metadata,
    Column("task_id", String(32), ForeignKey("tasks.id"), primary_key=True),
    Column("withdrawn", String(32), primary_key=True),
    Column("answer", JSON, nullable=False),
    Column("judgement_id", String(16), index=True),
    Column("judgement", JSON(none_as_null=True)),
)
"""Answers that were undone, with the judgement that each had become, if any."""

rounds = Table(
    "rounds",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("models", JSON, nullable=False),
    Column("evaluation", String(16), nullable=False),
    Column("raters", Integer, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("margin", Float, nullable=False),
    Column("opened", String(32), nullable=False),
    Column("closed", String(32)),
    Column("results", JSON(none_as_null=True)),
)
"""Rounds of blind evaluation. `results` are what it came to when it was closed."""

round_units = Table(
    "round_units",
    metadata,
    Column("round_id", String(16), ForeignKey("rounds.id"), primary_key=True),
    Column("unit", String(16), primary_key=True),
    Column("prompt_id", String(16), ForeignKey("prompts.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("models", JSON, nullable=False),
    Column("responses", JSON, nullable=False),
    Column("alike", Integer, nullable=False),
)
"""What a round asks: the answers of two models to one prompt. Where they are `alike` nobody is asked."""

problems = Table(
    "problems",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_id", String(32), ForeignKey("tasks.id"), nullable=False),
    Column("text", Text, nullable=False),
    Column("reported", String(32), nullable=False),
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
