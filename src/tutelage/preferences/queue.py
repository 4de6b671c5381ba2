"""How the work stands, for its owner: what waits, at what pace, and how far each rater is."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, select

from tutelage.core.settings import PeopleSettings
from tutelage.preferences.accounts import Rater, rater_of
from tutelage.preferences.pool import Pool
from tutelage.preferences.wanted import Budget
from tutelage.store import tables
from tutelage.store.database import Database
from tutelage.store.records import stamp

DAYS = 14


@dataclass(frozen=True)
class RaterRow:
    """One rater. `practice` and `gold` are (agreed, answered); `median_seconds` is of ranked work."""

    rater: Rater
    practice: tuple[int, int] = (0, 0)
    gold: tuple[int, int] = (0, 0)
    rankings: int = 0
    median_seconds: float | None = None
    last: datetime | None = None


@dataclass(frozen=True)
class Queue:
    """`ready` of `prompts` have rankings by `overlap` raters; `missing` rankings are wanted still.

    `days` are the last fourteen in UTC, oldest first, with the rankings of each.
    """

    prompts: int
    ready: int
    overlap: int
    rankings: int
    missing: int
    open_tasks: int
    median_seconds: float | None
    days: tuple[tuple[date, int], ...]
    raters: tuple[RaterRow, ...]
    spent: bool = False
    """Whether the budget is used up, so that nothing more is dealt."""


def read_queue(database: Database, settings: PeopleSettings, pool: Pool | None = None) -> Queue:
    """The state of the work now. Whoever looks again and again keeps a `pool`, which is read once."""
    with database.read() as connection:
        units = [unit.id for unit in (pool or Pool()).units(connection).values()]
        since = stamp(-timedelta(hours=settings.session_hours))
        spent = not Budget.read(connection, settings, since).left
        people = [rater_of(row) for row in connection.execute(select(tables.raters)).all()]
        joined = tables.tasks.outerjoin(
            tables.judgements, tables.judgements.c.id == tables.tasks.c.judgement_id
        )
        t = tables.tasks.c
        rows = connection.execute(
            select(
                t.rater_id, t.unit, t.kind, t.state, t.finished, t.agreed, tables.judgements.c.seconds
            ).select_from(joined)
        ).all()
    mine: dict[str, list[Row[Any]]] = {}
    for row in rows:
        mine.setdefault(row.rater_id, []).append(row)
    work = [row for row in rows if row.kind == "work" and row.state == "done"]
    by_unit = Counter(row.unit for row in work)
    ready = sum(by_unit[unit] >= settings.overlap for unit in units)
    missing = sum(max(settings.overlap - by_unit[unit], 0) for unit in units)
    return Queue(
        prompts=len(units),
        ready=ready,
        overlap=settings.overlap,
        rankings=len(work),
        missing=missing,
        open_tasks=sum(row.state == "open" for row in rows),
        median_seconds=_median(work),
        days=_days(work),
        raters=tuple(_row(rater, mine.get(rater.id, ())) for rater in people),
        spent=spent,
    )


def _row(rater: Rater, rows: Sequence[Row[Any]]) -> RaterRow:
    done = [row for row in rows if row.state == "done"]
    work = [row for row in done if row.kind == "work"]
    last = max((row.finished for row in done), default=None)
    return RaterRow(
        rater,
        practice=_agreed(done, "calibration"),
        gold=_agreed(done, "gold"),
        rankings=len(work),
        median_seconds=_median(work),
        last=None if last is None else datetime.fromisoformat(last),
    )


def _agreed(rows: Sequence[Row[Any]], kind: str) -> tuple[int, int]:
    of = [row.agreed for row in rows if row.kind == kind]
    return sum(bool(agreed) for agreed in of), len(of)


def _median(rows: Sequence[Row[Any]]) -> float | None:
    seconds = [row.seconds for row in rows if row.seconds is not None]
    return statistics.median(seconds) if seconds else None


def _days(rows: Sequence[Row[Any]]) -> tuple[tuple[date, int], ...]:
    counted = Counter(datetime.fromisoformat(row.finished).date() for row in rows)
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=before) for before in reversed(range(DAYS))]
    return tuple((day, counted[day]) for day in days)
