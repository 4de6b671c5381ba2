"""What choosing the next question reads and keeps, within a transaction that is open already.

Left out on purpose: which question is worth asking (`preferences/asking.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, func, insert, or_, select, text

from tutelage.store import tables
from tutelage.store.records import CHUNK

_t, _w, _j = tables.tasks.c, tables.waiting_scores.c, tables.judgements.c
ONE_AT_A_TIME = 7_482_362
"""Number of the lock under which PostgreSQL deals where there is a budget; any number of its own will do."""


def rankings_of_units(
    connection: Connection, units: Sequence[str]
) -> dict[str, list[tuple[tuple[str, ...], ...]]]:
    """Tie groups, best first, that raters gave each unit; who could not judge gave none."""
    found: dict[str, list[tuple[tuple[str, ...], ...]]] = {unit: [] for unit in units}
    for start in range(0, len(units), CHUNK):
        query = select(_t.unit, _t.answer).where(
            _t.kind == "work", _t.state == "done", _t.unit.in_(units[start : start + CHUNK])
        )
        for unit, answer in connection.execute(query.order_by(_t.id)):
            if answer["outcome"] != "cannot-judge" and answer["ranking"]:
                found[unit].append(tuple(tuple(group) for group in answer["ranking"]))
    return found


def dealt_at_random(connection: Connection) -> set[str]:
    """Ids of the judgements on prompts that were drawn and not chosen: agreement is to be told of these."""
    query = select(_t.judgement_id).where(
        _t.kind == "work", _t.dealt == "random", _t.state == "done", _t.judgement_id.is_not(None)
    )
    return set(connection.scalars(query))


def keep_scores(connection: Connection, artifact_id: str, scores: Mapping[str, Sequence[float]]) -> None:
    """Scores of responses by each member of one reward model, in the place of all that were kept before."""
    connection.execute(delete(tables.waiting_scores))
    rows = [
        {"response_id": response, "artifact_id": artifact_id, "scores": [float(s) for s in members]}
        for response, members in scores.items()
    ]
    for start in range(0, len(rows), CHUNK):
        connection.execute(insert(tables.waiting_scores), rows[start : start + CHUNK])


def scores_state(connection: Connection) -> tuple[int, str | None]:
    """How many responses have scores, and by which artifact: what changes when they do."""
    count, artifact = connection.execute(select(func.count(), func.max(_w.artifact_id))).one()
    return int(count), artifact


def scores_by_response(connection: Connection) -> dict[str, list[float]]:
    """The scores that are kept, a list with a number a member for each response."""
    rows = connection.execute(select(_w.response_id, _w.scores).order_by(_w.response_id))
    return {row.response_id: row.scores for row in rows}


def spent(connection: Connection, since: str) -> tuple[int, float]:
    """Rankings given, or being made since the moment `since`; and minutes that raters took, practice included."""
    held = or_(_t.state == "done", (_t.state == "open") & (_t.opened > since))
    rankings = connection.execute(select(func.count()).where(_t.kind == "work", held)).scalar_one()
    joined = tables.tasks.join(tables.judgements, _j.id == _t.judgement_id)
    seconds = connection.execute(select(func.sum(_j.seconds)).select_from(joined)).scalar()
    return int(rankings), float(seconds or 0.0) / 60.0


def deal_in_turn(connection: Connection) -> None:
    """Let one transaction at a time deal: without it, two could both take the last of a budget."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ONE_AT_A_TIME})
