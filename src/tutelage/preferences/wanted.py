"""Which prompts want another rater, how many they want, and what is left of the budget.

A prompt wants `overlap` raters. One whose raters disagree wants another, up to `max_overlap`: there a further opinion
says most. With one rater nobody knows whether raters disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sqlalchemy import Connection

from tutelage.core.settings import PeopleSettings
from tutelage.preferences.pool import Pool, Unit
from tutelage.stats.meetings import agreement
from tutelage.store import asking, people

TieGroups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Want:
    """A unit that waits: `raters` it wants, those who have it (`held`), and how far they agree if that is known."""

    unit: Unit
    raters: int
    held: int = 0
    agreement: float | None = None

    @property
    def prompt_id(self) -> str:
        return self.unit.prompt_id


class Wanted:
    """What waits for raters. What was said of a unit is read once for each number of raters who are done."""

    def __init__(self, settings: PeopleSettings) -> None:
        self._settings, self._pool = settings, Pool()
        self._agreed: dict[str, tuple[int, float | None]] = {}
        self.held: dict[str, int] = {}
        """Raters of each prompt that anybody was given, as last read."""

    def read(self, connection: Connection, since: str) -> dict[str, Want]:
        """Units that want another rater, by prompt id; `since`: what was opened before is left lying."""
        settings = self._settings
        held = people.held_units(connection, since)
        units = self._pool.units(connection)
        self.held = {name: held[unit.id][0] for name, unit in units.items() if unit.id in held}
        open_to_more = {
            unit.id: held[unit.id][1]
            for unit in units.values()
            if unit.id in held and held[unit.id][1] > 1 and held[unit.id][0] < settings.most_raters
        }
        self._look_up(connection, open_to_more)
        found: dict[str, Want] = {}
        for prompt_id, unit in units.items():
            count, _ = held.get(unit.id, (0, 0))
            agreed = self._agreed[unit.id][1] if unit.id in open_to_more else None
            disagree = agreed is not None and agreed < settings.enough_agreement
            raters = (
                min(max(count + 1, settings.overlap), settings.most_raters) if disagree else settings.overlap
            )
            if count < raters:
                found[prompt_id] = Want(unit, raters, count, agreed)
        return found

    def _look_up(self, connection: Connection, done: Mapping[str, int]) -> None:
        """Agreement on units, by how many raters are done."""
        new = [unit for unit, count in done.items() if self._agreed.get(unit, (0, None))[0] != count]
        for unit, rankings in asking.rankings_of_units(connection, new).items():
            self._agreed[unit] = (done[unit], agreement_of(rankings))


def agreement_of(rankings: Sequence[TieGroups]) -> float | None:
    """Share of pairs of responses that two raters order alike, over all twos; None if none ordered the same pair."""
    names = sorted({name for ranking in rankings for group in ranking for name in group})
    places = [{name: n for n, group in enumerate(ranking) for name in group} for ranking in rankings]
    if len(places) < 2 or len(names) < 2:
        return None
    rows = np.array([[place.get(name, math.nan) for name in names] for place in places])
    first, second = zip(*combinations(range(len(rows)), 2), strict=True)
    alike, count = agreement(rows[list(first)], rows[list(second)])
    return float((alike * count).sum() / count.sum()) if count.sum() else None


@dataclass(frozen=True)
class Budget:
    """What raters were allowed and what they have used: rankings and minutes; None is no limit."""

    judgements: int
    minutes: float
    most_judgements: int | None
    most_minutes: float | None

    @classmethod
    def read(cls, connection: Connection, settings: PeopleSettings, since: str) -> Budget:
        """As it stands now; where there is no limit, nothing is counted."""
        most, minutes = settings.budget_judgements, settings.budget_minutes
        used = asking.spent(connection, since) if most is not None or minutes is not None else (0, 0.0)
        return cls(*used, most, minutes)

    @property
    def left(self) -> float:
        """Rankings that may still be given: infinite without a limit, 0 once the time is used up."""
        if self.most_minutes is not None and self.minutes >= self.most_minutes:
            return 0.0
        return math.inf if self.most_judgements is None else max(self.most_judgements - self.judgements, 0)
