"""What about a rater should make his owner look, each with its reason in one sentence.

A flag needs two things: an effect that is large enough to matter, and odds against chance that hold with as many
raters as there are (Holm 1979, one in a hundred for each kind of flag). A flag is a question, not a verdict:
raters who share a view that others do not look like raters who copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from tutelage.stats.crowd import Crowd
from tutelage.stats.drift import Trend
from tutelage.stats.intervals import Interval
from tutelage.stats.reliability import Bias, below
from tutelage.stats.tests import holm

Kind = Literal["colluding", "unreliable", "upside down", "first shown", "longer", "drift", "quick"]
LEVEL = 0.01
MIN_RATERS = 3
"""Fewer raters than this have no middle that one could be far from."""
QUICK = 1 / 3
"""Flagged below this part of the middle rater's time."""


@dataclass(frozen=True)
class Flag:
    """`reason`: one sentence with the numbers behind it."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Seen:
    """What is known of each rater, by number; those in `known` are gold answers, and are never flagged."""

    reliability: Sequence[Interval]
    place: Sequence[Bias]
    length: Sequence[Bias]
    drift: Sequence[Trend | None]
    seconds: Sequence[float | None]
    known: tuple[int, ...] = ()

    def people(self) -> list[int]:
        return [k for k in range(len(self.reliability)) if k not in self.known]


def raise_flags(seen: Seen, names: Sequence[str], crowd: Crowd) -> list[tuple[Flag, ...]]:
    """Flags of each rater, by number."""
    found: list[list[Flag]] = [[] for _ in names]
    for rule in RULES:
        for rater, flag in rule(seen, names, crowd):
            found[rater].append(flag)
    return [tuple(flags) for flags in found]


def _colluding(seen: Seen, names: Sequence[str], crowd: Crowd) -> Iterator[tuple[int, Flag]]:
    for group in crowd.groups:
        for k in group:
            own = [p for p in crowd.pairs if k in (p.first, p.second) and {p.first, p.second} <= set(group)]
            units = sum(p.units for p in own)
            if not units:
                continue
            found, expected = (
                sum(p.units * share for p, share in zip(own, shares, strict=True)) / units
                for shares in ([p.agreement for p in own], [p.expected for p in own])
            )
            others = _listed(sorted(names[other] for other in group if other != k))
            yield (
                k,
                Flag(
                    "colluding",
                    f"orders {found:.0%} of pairs like {others}, where what is true explains {expected:.0%}: "
                    "they may copy, or share a view that others do not.",
                ),
            )


def _reliability(seen: Seen, names: Sequence[str], crowd: Crowd) -> Iterator[tuple[int, Flag]]:
    people = seen.people()
    middle = median(seen.reliability[k].value for k in people)
    bar = 0.5 + (middle - 0.5) / 2
    wrong = holm([below(seen.reliability[k], 0.5) for k in people])
    weak = holm([below(seen.reliability[k], bar) for k in people])
    for k, reversed_, unlike in zip(people, wrong, weak, strict=True):
        share = f"puts {seen.reliability[k].value:.0%} of typical pairs in the right order"
        if reversed_ < LEVEL:
            yield k, Flag("upside down", f"{share}, fewer than a coin would: worst may have been put first.")
        elif unlike < LEVEL and len(people) >= MIN_RATERS:
            yield k, Flag("unreliable", f"{share}, the middle rater {middle:.0%}.")


def _place(seen: Seen, names: Sequence[str], crowd: Crowd) -> Iterator[tuple[int, Flag]]:
    yield from _biased(seen, seen.place, "first shown", ("shown earlier", "shown later"))


def _length(seen: Seen, names: Sequence[str], crowd: Crowd) -> Iterator[tuple[int, Flag]]:
    yield from _biased(seen, seen.length, "longer", ("that is longer", "that is shorter"))


def _biased(
    seen: Seen, biases: Sequence[Bias], kind: Kind, sides: tuple[str, str]
) -> Iterator[tuple[int, Flag]]:
    people = seen.people()
    for k, p_value in zip(people, holm([biases[k].p_value for k in people]), strict=True):
        if p_value < LEVEL:
            bias = biases[k].share.value
            which, often = sides[bias < 0.0], 0.5 + abs(bias)
            yield (
                k,
                Flag(
                    kind,
                    f"of two responses as good as each other prefers the one {which} {often:.0%} of the time.",
                ),
            )


def _drift(seen: Seen, names: Sequence[str], crowd: Crowd) -> Iterator[tuple[int, Flag]]:
    trends = {k: trend for k in seen.people() if (trend := seen.drift[k])}
    for (k, trend), p_value in zip(trends.items(), holm([t.p_value for t in trends.values()]), strict=True):
        if p_value < LEVEL:
            change = trend.change.value
            which = "fewer" if change < 0.0 else "more"
            yield (
                k,
                Flag(
                    "drift",
                    f"orders {abs(change):.0%} {which} of the pairs rightly at the end than at the beginning.",
                ),
            )


def _quick(seen: Seen, names: Sequence[str], crowd: Crowd) -> Iterator[tuple[int, Flag]]:
    timed = {k: s for k in seen.people() if (s := seen.seconds[k]) is not None}
    if len(timed) < MIN_RATERS:
        return
    middle = median(timed.values())
    for k, seconds in timed.items():
        if seconds < QUICK * middle:
            yield k, Flag("quick", f"takes {seconds:.0f} s for a judgement, the middle rater {middle:.0f} s.")


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, and no more than three."""
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


RULES = (_colluding, _reliability, _place, _length, _drift, _quick)
