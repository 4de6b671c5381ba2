"""Which task a rater is given next: practice first, then work, and now and then a gold question among it.

A round of blind evaluation that is open goes before the work, in its own order, so that its pairs get their raters
one after the other; a rater cannot tell the two apart but by their number of responses.

Work is a unit that fewer than `overlap` raters ranked or have before them; one that a rater left lying for longer
than a session goes to somebody else as well. Left out on purpose: which unit is most worth asking. `choose` takes
one at random, so that what is measured stays fair; active selection takes its place.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row

from tutelage.core.settings import PeopleSettings
from tutelage.preferences.accounts import Rater
from tutelage.preferences.pool import Pool, Unit
from tutelage.store import people, rounds
from tutelage.store.records import stamp


@dataclass(frozen=True)
class Progress:
    """How many tasks a rater has done, of how many there are for them now."""

    done: int
    to_do: int


def choose(candidates: Sequence[str], rater: Rater, rng: random.Random) -> str:
    """The prompt to ask next, of the ids of those that still want a rater."""
    return rng.choice(candidates)


FRESH_SECONDS = 1.0
"""How old the list of what waits may be; a task is given only after its unit was counted anew."""


class Dealer:
    """Gives tasks to raters."""

    def __init__(self, settings: PeopleSettings, seed: int) -> None:
        self._settings, self._seed, self._pool = settings, seed, Pool()
        self._gold: dict[str, Row[Any]] = {}
        self._wanted: dict[str, Unit] = {}
        self._round: tuple[Unit, ...] = ()
        self._round_raters = 0
        self._read = -math.inf

    def deal(self, connection: Connection, rater: Rater) -> Row[Any] | None:
        """A new task for a rater who has none open; None if nothing waits for them."""
        self._refresh(connection)
        had = {row.unit: row.kind for row in people.asked_of(connection, rater.id)}
        rng = random.Random(f"{self._seed}/{rater.id}/{len(had)}")
        known = [row for unit, row in self._gold.items() if unit not in had]
        practised = sum(kind == "calibration" for kind in had.values())
        if known and practised < self._settings.calibration:
            gold = rng.choice(known)
            return _add(connection, rater, gold.prompt_id, gold.responses, "calibration", rng)
        gold = rng.choice(known) if known and rng.random() < self._settings.gold_rate else None
        for again in (False, True):
            self._refresh(connection, now=again)
            asked = [unit for unit in self._round if unit.id not in had]
            waiting = {p: unit for p, unit in self._wanted.items() if unit.id not in had}
            if (asked or waiting) and gold is not None:
                return _add(connection, rater, gold.prompt_id, gold.responses, "gold", rng)
            unit = self._claim_of_round(connection, asked, wait=again)
            if unit is not None:
                return _add(connection, rater, unit.prompt_id, unit.responses, rounds.KIND, rng)
            unit = self._claim(connection, rater, waiting, rng, wait=again)
            if unit is not None:
                return _add(connection, rater, unit.prompt_id, unit.responses, "work", rng)
        return None

    def progress(self, connection: Connection, rater: Rater) -> Progress:
        """How far a rater is."""
        self._refresh(connection)
        rows = people.asked_of(connection, rater.id)
        had = {row.unit for row in rows}
        done = sum(row.state == "done" for row in rows)
        practised = sum(row.kind == "calibration" for row in rows)
        practice = min(max(self._settings.calibration - practised, 0), len(self._gold.keys() - had))
        waiting = sum(unit.id not in had for unit in (*self._wanted.values(), *self._round))
        return Progress(done, done + sum(row.state == "open" for row in rows) + practice + waiting)

    def _refresh(self, connection: Connection, now: bool = False) -> None:
        """Read what wants another rater, unless that was done a moment ago."""
        if not now and time.monotonic() - self._read < FRESH_SECONDS:
            return
        full = people.full_units(connection, self._settings.overlap, self._since)
        units = self._pool.units(connection)
        self._wanted = {prompt: unit for prompt, unit in units.items() if unit.id not in full}
        self._read_round(connection)
        self._gold = people.gold_of(connection)
        self._read = time.monotonic()

    def _read_round(self, connection: Connection) -> None:
        """What the round that is open still asks."""
        now = rounds.open_round(connection)
        if now is None:
            self._round = ()
            return
        self._round_raters = now.raters
        full = people.full_units(connection, now.raters, self._since, rounds.KIND)
        self._round = tuple(
            Unit(one.prompt_id, one.responses, one.unit)
            for one in rounds.units_of(connection, now.id)
            if not one.alike and one.unit not in full
        )

    def _claim_of_round(self, connection: Connection, asked: Sequence[Unit], wait: bool) -> Unit | None:
        """The first unit of the round that this rater may have."""
        for unit in asked:
            if people.claim_unit(
                connection, unit.prompt_id, unit.id, self._round_raters, self._since, wait, rounds.KIND
            ):
                return unit
        return None

    def _claim(
        self, connection: Connection, rater: Rater, waiting: dict[str, Unit], rng: random.Random, wait: bool
    ) -> Unit | None:
        """One of the units that wait, for this rater; others may be taking one at the same moment."""
        left = list(waiting)
        while left:
            prompt_id = choose(left, rater, rng)
            unit = waiting[prompt_id]
            if people.claim_unit(connection, prompt_id, unit.id, self._settings.overlap, self._since, wait):
                return unit
            left.remove(prompt_id)
        return None

    @property
    def _since(self) -> str:
        return stamp(-timedelta(hours=self._settings.session_hours))


def _add(
    connection: Connection,
    rater: Rater,
    prompt_id: str,
    responses: Sequence[str],
    kind: str,
    rng: random.Random,
) -> Row[Any]:
    shown = list(responses)
    rng.shuffle(shown)
    return people.add_task(connection, rater.id, prompt_id, shown, kind)
