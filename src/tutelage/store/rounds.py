"""Rounds of blind evaluation: reads and writes within a transaction that is open already.

A round asks people about the answers of two models at a time to prompts that train nothing. One is open at a time.
Left out on purpose: which prompts are asked, and what the answers come to (`evals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from tutelage.core.records import Prompt, Response
from tutelage.store import tables
from tutelage.store.records import PROMPTS, RESPONSES, keep_new, stamp

KIND = "evaluation"
"""The kind of its tasks."""
SPLIT = "evaluation"
"""The split of its prompts and judgements: they train nothing."""

_r, _u, _t = tables.rounds.c, tables.round_units.c, tables.tasks.c


@dataclass(frozen=True)
class RoundUnit:
    """Two models' answers to one prompt: models and response ids in the same order. `kind`: what is tested."""

    unit: str
    prompt_id: str
    place: int
    kind: str
    models: tuple[str, ...]
    responses: tuple[str, ...]
    alike: bool


@dataclass(frozen=True)
class Round:
    """One round: `raters` judge each unit; `evaluation` is the artifact whose answers are judged.

    `confidence` and `margin` say when it may stop. `results` are there once it is closed.
    """

    id: str
    number: int
    models: tuple[str, ...]
    evaluation: str
    raters: int
    confidence: float
    margin: float
    opened: str = ""
    closed: str | None = None
    results: Mapping[str, Any] | None = None


def keep_round(
    connection: Connection,
    made: Round,
    units: Sequence[RoundUnit],
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
) -> None:
    """Open a round, with what it asks."""
    keep_new(connection, PROMPTS, prompts)
    keep_new(connection, RESPONSES, responses)
    row = {**asdict(made), "models": list(made.models), "opened": stamp()}
    connection.execute(insert(tables.rounds).values(row))
    rows = [
        {**asdict(u), "round_id": made.id, "models": list(u.models), "responses": list(u.responses)}
        for u in units
    ]
    connection.execute(insert(tables.round_units), [{**row, "alike": int(row["alike"])} for row in rows])


def rounds(connection: Connection) -> list[Round]:
    """All rounds, the first one first."""
    found = connection.execute(select(tables.rounds).order_by(_r.number)).mappings()
    return [Round(**{**row, "models": tuple(row["models"])}) for row in found]


def open_round(connection: Connection) -> Round | None:
    """The round that is open."""
    return next((one for one in rounds(connection) if one.closed is None), None)


def units_of(connection: Connection, round_id: str) -> list[RoundUnit]:
    """What a round asks, in the order in which it is asked."""
    query = select(tables.round_units).where(_u.round_id == round_id).order_by(_u.place, _u.unit)
    return [
        RoundUnit(
            row.unit,
            row.prompt_id,
            row.place,
            row.kind,
            tuple(row.models),
            tuple(row.responses),
            bool(row.alike),
        )
        for row in connection.execute(query)
    ]


def answers_of(connection: Connection, round_id: str) -> Sequence[Row[Any]]:
    """Every answer to a round that stands: unit, rater id, and ranking, scores and seconds, none if not judged."""
    asked = tables.round_units.join(tables.tasks, (_t.unit == _u.unit) & (_t.kind == KIND))
    j = tables.judgements.c
    query = select(_u.unit, _t.rater_id, j.ranking, j.scores, j.seconds).select_from(
        asked.outerjoin(tables.judgements, j.id == _t.judgement_id)
    )
    mine = query.where(_u.round_id == round_id, _t.state == "done")
    return connection.execute(mine.order_by(_t.finished, _t.id)).all()


def close_round(connection: Connection, round_id: str, moment: str, results: Mapping[str, Any]) -> None:
    """Ask no more, and keep what it came to: what is answered or undone later changes nothing."""
    closing = update(tables.rounds).where(_r.id == round_id)
    connection.execute(closing.values(closed=moment, results=dict(results)))
