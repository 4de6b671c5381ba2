"""Judgements as the numbers that `stats` works on, with the names kept beside them.

A unit is a prompt with the responses that were shown: raters who saw the same ones can be compared. Of several
judgements by one rater on one unit the last counts, and one that ranks a single response says nothing.
Gold answers are rankings by a rater of their own, `GOLD`, on the units where somebody ranked that prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.core.errors import DataError
from tutelage.core.records import Judgement, RaterKind
from tutelage.preferences.resolve import PEOPLE
from tutelage.stats.choices import Layout, RatedRanking, lay_out

GOLD = "gold answers"
GOLD_SENSITIVITY = 3.0
"""Gold answers are the truth, all but certain: a pair of typical difference is in the right order 19 times of 20."""

TieGroups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Rated:
    """`judgements` that count, in the order of their layout's rankings; gold rankings come after them.

    `raters`: names by number, `GOLD` the last one if there are gold answers. `units`: prompt id and response ids by
    number. `lengths_known`: whether responses' lengths were given; else all are alike.
    """

    layout: Layout
    judgements: tuple[Judgement, ...]
    raters: tuple[str, ...]
    units: tuple[tuple[str, tuple[str, ...]], ...]
    lengths_known: bool

    @property
    def known(self) -> dict[int, float]:
        """Numbers of the raters whose sensitivity is given: that of the gold answers."""
        return {len(self.raters) - 1: GOLD_SENSITIVITY} if self.raters[-1] == GOLD else {}


def rated(
    judgements: Iterable[Judgement],
    *,
    lengths: Mapping[str, float] | None = None,
    gold: Mapping[str, TieGroups] | None = None,
    kinds: Collection[RaterKind] = PEOPLE,
) -> Rated:
    """Judgements by raters of these kinds, by rater and unit: in what order they come changes nothing else.

    `lengths`: by response id, in any unit that is above 0. `gold`: the expected tie groups, best first, by prompt id.
    Raises `DataError` if no judgement ranks two responses.
    """
    last = {(j.rater, unit_of(j)): j for j in judgements if j.kind in kinds and sum(map(len, j.ranking)) > 1}
    counted = tuple(judgement for _, judgement in sorted(last.items(), key=lambda item: item[0]))
    if not counted:
        raise DataError(
            "no judgement ranks two responses, so nothing can be said of its rater: collect some first"
        )
    units = tuple(sorted({unit_of(j) for j in counted}))
    raters = tuple(sorted({j.rater for j in counted}))
    at = {unit: number for number, unit in enumerate(units)}
    who = {rater: number for number, rater in enumerate(raters)}
    rankings = [_numbered(who[j.rater], at[unit_of(j)], unit_of(j)[1], j.ranking, j.shown) for j in counted]
    for unit in units:
        if answer := _within((gold or {}).get(unit[0], ()), unit[1]):
            raters = raters if raters[-1] == GOLD else (*raters, GOLD)
            rankings.append(_numbered(len(raters) - 1, at[unit], unit[1], answer, unit[1]))
    layout = lay_out(rankings, _standard_lengths(units, lengths or {}), len(raters))
    return Rated(layout, counted, raters, units, bool(lengths))


def unit_of(judgement: Judgement) -> tuple[str, tuple[str, ...]]:
    """Its prompt and the responses shown, in the order of their ids."""
    return judgement.prompt_id, tuple(sorted(judgement.shown))


def _within(answer: TieGroups, responses: Collection[str]) -> TieGroups:
    """The part of a gold answer that is about these responses; nothing if it does not order two."""
    groups = [[r for r in group if r in responses] for group in answer]
    kept = [group for group in groups if group]
    return kept if sum(map(len, kept)) > 1 else []


def _numbered(
    rater: int, unit: int, responses: Sequence[str], groups: TieGroups, shown: Sequence[str]
) -> RatedRanking:
    number = {name: index for index, name in enumerate(responses)}
    return RatedRanking(
        rater,
        unit,
        tuple(tuple(number[name] for name in group) for group in groups),
        tuple(number[name] for name in shown),
    )


def _standard_lengths(
    units: Sequence[tuple[str, tuple[str, ...]]], lengths: Mapping[str, float]
) -> list[np.ndarray]:
    """Log-lengths less their unit's mean, in deviations within units; 0 in a unit where one is unknown."""
    known = [
        np.log([max(float(lengths[name]), 1e-9) for name in names])
        if all(name in lengths for name in names)
        else np.zeros(len(names))
        for _, names in units
    ]
    centred = [each - each.mean() for each in known]
    spread = float(np.sqrt(np.mean(np.concatenate(centred) ** 2)))
    return [each / spread if spread > 0.0 else each for each in centred]
