"""What is worth asking next: any prompt, or the one whose ranking is expected to tell most.

A prompt's value is the expected information of ranking its responses, from the scores that the members of a reward
model give them (`stats/information.py`), times how open it still is (raters who agreed leave nothing to say), less
the more of its topic were asked. A share of prompts is only ever drawn: which ones is settled by a hash of how they
open, and those that measure or referee are always among them. So what the drawn ones show, agreement and accuracy,
speaks for all prompts, whatever was chosen beside them.

Left out on purpose: the information of several prompts together. Scores change only with a new reward model, so
between two of them topics alone keep the choice from dwelling on one thing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from sqlalchemy import Connection

from tutelage.core.records import Prompt
from tutelage.core.settings import PeopleSettings
from tutelage.data.splits import position
from tutelage.preferences.pool import Unit
from tutelage.preferences.wanted import Want
from tutelage.stats.information import ranking_information, topic_discount
from tutelage.store import asking, people

Dealt = Literal["random", "active"]
"""Whether a prompt was drawn, or chosen for what it is expected to tell."""
UNKNOWN = 0.5
"""How open a prompt is that one rater has ranked: whether another would agree is not known."""


class Chooser(Protocol):
    """Says which of the units that wait is asked next, and how it was found."""

    def choose(self, waiting: Sequence[Want], rng: random.Random) -> tuple[Want, Dealt]:
        """One of `waiting`, which is not empty."""
        ...


class AtRandom:
    """Any of them. Beyond `overlap` raters a prompt waits only because they disagreed: that is no fair draw."""

    def __init__(self, overlap: int) -> None:
        self._overlap = overlap

    def choose(self, waiting: Sequence[Want], rng: random.Random) -> tuple[Want, Dealt]:
        one = rng.choice(waiting)
        return one, "random" if one.held < self._overlap else "active"


class Active:
    """The one of greatest value; and with `share`, any of the prompts that are only drawn."""

    def __init__(
        self, values: Mapping[str, float], drawn: frozenset[str], share: float, overlap: int
    ) -> None:
        self._values, self._drawn, self._share = values, drawn, share
        self._at_random = AtRandom(overlap)

    def choose(self, waiting: Sequence[Want], rng: random.Random) -> tuple[Want, Dealt]:
        drawn = [one for one in waiting if one.prompt_id in self._drawn]
        rest = [one for one in waiting if one.prompt_id not in self._drawn]
        if drawn and (not rest or rng.random() < self._share):
            return self._at_random.choose(drawn, rng)
        scored = [one for one in rest if one.prompt_id in self._values]
        if not scored:  # their responses came after the last scores
            return rng.choice(rest), "active"
        return max(scored, key=lambda one: (self._values[one.prompt_id], one.prompt_id)), "active"


def openness(want: Want) -> float:
    """How much of a prompt's information is still to be had: 1 for nobody's, down to 0 where its raters agree."""
    if want.held == 0:
        return 1.0
    return UNKNOWN if want.agreement is None else min(2.0 * (1.0 - want.agreement), 1.0)


def is_drawn(prompt: Prompt, share: float) -> bool:
    """Whether a prompt is one of the `share` that is only dealt at random; the same on every machine and day."""
    return position(prompt, "asking") < share


class Choosing:
    """The chooser as the recipe sets it and as far as scores are there; kept up with what raters do."""

    def __init__(self, settings: PeopleSettings, measures: Callable[[Prompt], bool]) -> None:
        """`measures`: whether a prompt is in a split that measures or referees."""
        self._settings, self._measures = settings, measures
        self._state: tuple[int, str | None] = (0, None)
        self._scores: dict[str, list[float]] = {}
        self._information: dict[str, float | None] = {}
        self._prompts: dict[str, Prompt] = {}

    def chooser(self, connection: Connection, wanted: Mapping[str, Want], held: Mapping[str, int]) -> Chooser:
        """Who chooses among `wanted` now; `held`: how many raters each prompt has that anybody was given."""
        settings = self._settings
        state = asking.scores_state(connection) if settings.choose == "active" else (0, None)
        if state != self._state:
            self._scores, self._information = asking.scores_by_response(connection), {}
            self._state = state
        if not state[0]:
            return AtRandom(settings.overlap)
        new = sorted((wanted.keys() | held.keys()) - self._prompts.keys())
        self._prompts |= {p.id: p for p in people.prompts_of(connection, new)}
        drawn = [
            name
            for name in wanted
            if self._measures(self._prompts[name]) or is_drawn(self._prompts[name], settings.random_share)
        ]
        return Active(self._values(wanted, held), frozenset(drawn), settings.random_share, settings.overlap)

    def _values(self, wanted: Mapping[str, Want], held: Mapping[str, int]) -> dict[str, float]:
        """By prompt id, for those with scores."""
        asked: Counter[str] = Counter()
        for name, count in held.items():
            asked[self._prompts[name].category] += count
        values: dict[str, float] = {}
        for name, want in wanted.items():
            information = self._told_by(want.unit)
            if information is not None:
                less = topic_discount(asked[self._prompts[name].category], self._settings.topic_spread)
                values[name] = information * openness(want) * less
        return values

    def _told_by(self, unit: Unit) -> float | None:
        if unit.id not in self._information:
            scores = [self._scores.get(response) for response in unit.responses]
            known = [one for one in scores if one is not None]
            whole = len(known) == len(scores)
            members = [list(row) for row in zip(*known, strict=True)]
            self._information[unit.id] = ranking_information(members) if whole else None
        return self._information[unit.id]
