"""Which task a rater is given next: practice first, then work, and now and then a gold question among it.

A round of blind evaluation that is open goes before the work, in its own order, so that its pairs get their raters
one after the other; a rater cannot tell the two apart but by their number of responses. Work is a unit that fewer
raters ranked or have before them than it wants (`wanted.py`); one that a rater left lying for longer than a session
goes to somebody else as well. When the budget is used up nothing is dealt, practice included; what is open may be
finished. Left out on purpose: which unit is most worth asking (`asking.py`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row

from tutelage.core.records import Prompt
from tutelage.core.settings import PeopleSettings
from tutelage.preferences.accounts import Rater
from tutelage.preferences.asking import AtRandom, Chooser, Choosing, Dealt
from tutelage.preferences.pool import Unit
from tutelage.preferences.wanted import Budget, Want, Wanted
from tutelage.store import asking, people, rounds
from tutelage.store.records import stamp


@dataclass(frozen=True)
class Progress:
    """How many tasks a rater has done, of how many there are for them now."""

    done: int
    to_do: int


def nothing_measures(prompt: Prompt) -> bool:
    """Where no split is set aside for measuring."""
    return False


class Waiting:
    """What wants another rater, by prompt. There is much more of it than a rater had, so what they had is counted."""

    def __init__(self, wants: Mapping[str, Want]) -> None:
        self._wants = dict(wants)
        self._prompts = {want.unit.id: prompt for prompt, want in wants.items()}

    def without(self, had: Iterable[str]) -> list[Want]:
        """All but the units in `had`, in the same order."""
        left = self._wants.copy()
        for unit in had:
            if unit in self._prompts:
                del left[self._prompts[unit]]
        return list(left.values())

    def count(self, had: Iterable[str]) -> int:
        """How many these are; no unit stands twice in `had`."""
        return len(self._wants) - sum(unit in self._prompts for unit in had)


FRESH_SECONDS = 1.0
"""How old the list of what waits may be; a task is given only after its unit was counted anew."""


class Dealer:
    """Gives tasks to raters. `measures`: whether a prompt is in a split that measures, and so is only drawn."""

    def __init__(
        self, settings: PeopleSettings, seed: int, measures: Callable[[Prompt], bool] = nothing_measures
    ) -> None:
        self._settings, self._seed = settings, seed
        self._reader, self._choosing = Wanted(settings), Choosing(settings, measures)
        self._gold: dict[str, Row[Any]] = {}
        self._wanted = Waiting({})
        self._chooser: Chooser = AtRandom(settings.overlap)
        self._round: tuple[Unit, ...] = ()
        self._round_raters = 0
        self._read = -math.inf

    def deal(self, connection: Connection, rater: Rater) -> Row[Any] | None:
        """A new task for a rater who has none open; None if nothing waits for them."""
        if self._settings.budget_judgements is not None:
            asking.deal_in_turn(connection)
        if not self.budget(connection).left:
            return None
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
            waiting = self._wanted.without(had)
            if (asked or waiting) and gold is not None:
                return _add(connection, rater, gold.prompt_id, gold.responses, "gold", rng)
            unit = self._claim_of_round(connection, asked, wait=again)
            if unit is not None:
                return _add(connection, rater, unit.prompt_id, unit.responses, rounds.KIND, rng)
            found = self._claim(connection, waiting, rng, wait=again)
            if found is not None:
                unit, dealt = found[0].unit, found[1]
                return _add(connection, rater, unit.prompt_id, unit.responses, "work", rng, dealt)
        return None

    def budget(self, connection: Connection) -> Budget:
        """What is left of what raters were allowed."""
        return Budget.read(connection, self._settings, self._since)

    def progress(self, connection: Connection, rater: Rater) -> Progress:
        """How far a rater is."""
        self._refresh(connection)
        rows = people.asked_of(connection, rater.id)
        had = {row.unit for row in rows}
        done = sum(row.state == "done" for row in rows)
        practised = sum(row.kind == "calibration" for row in rows)
        practice = min(max(self._settings.calibration - practised, 0), len(self._gold.keys() - had))
        waiting = self._wanted.count(had) + sum(unit.id not in had for unit in self._round)
        left = self.budget(connection).left
        to_come = (practice if left else 0) + int(min(waiting if left else 0, left))
        return Progress(done, done + sum(row.state == "open" for row in rows) + to_come)

    def _refresh(self, connection: Connection, now: bool = False) -> None:
        """Read what wants another rater, unless that was done a moment ago."""
        if not now and time.monotonic() - self._read < FRESH_SECONDS:
            return
        wanted = self._reader.read(connection, self._since)
        self._wanted = Waiting(wanted)
        self._chooser = self._choosing.chooser(connection, wanted, self._reader.held)
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
        self, connection: Connection, waiting: Sequence[Want], rng: random.Random, wait: bool
    ) -> tuple[Want, Dealt] | None:
        """One of the units that wait; others may be taking one at the same moment."""
        left = list(waiting)
        while left:
            want, dealt = self._chooser.choose(left, rng)
            unit = want.unit
            if people.claim_unit(connection, unit.prompt_id, unit.id, want.raters, self._since, wait):
                return want, dealt
            left.remove(want)
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
    dealt: Dealt = "random",
) -> Row[Any]:
    shown = list(responses)
    rng.shuffle(shown)
    return people.add_task(connection, rater.id, prompt_id, shown, kind, dealt)
