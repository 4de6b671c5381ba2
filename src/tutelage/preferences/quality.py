"""Whom to trust, and how far: a report on every rater from what all of them said, and weights for resolving.

Reliability is that of `stats/raters.py`, with colluders counted as one voice and gold answers, where there are
any, as the truth. What a report says is about typical pairs of responses; intervals are of 95%.

Left out on purpose: acting on it. No judgement is dropped and no rater barred here; the weights are handed to
`resolve.py` by whoever decides to use them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tutelage.core.records import Judgement, RaterKind
from tutelage.preferences.flags import Flag, Seen, raise_flags
from tutelage.preferences.rated import GOLD, Rated, TieGroups, rated
from tutelage.preferences.resolve import PEOPLE
from tutelage.stats.choices import Layout
from tutelage.stats.clustered import clustered_shares
from tutelage.stats.crowd import Crowd, fit_crowd
from tutelage.stats.drift import drifts
from tutelage.stats.intervals import Interval
from tutelage.stats.krippendorff import interval, krippendorff_interval, ordinal, preferences, ranks
from tutelage.stats.meetings import Meetings, agreement, find_meetings, pair_intervals
from tutelage.stats.reliability import length_biases, place_biases, reliabilities


@dataclass(frozen=True)
class RaterReport:
    """One rater. What there is too little to say about is None.

    `reliability`: share of typical pairs that he puts in the true order. `agreement`, `gold`: share of pairs that he
    orders like others who ranked them, and like the gold answers. `place_bias`, `length_bias`: of two responses as
    good as each other, how much more often than 1/2 the one shown earlier, the longer one, is preferred.
    `drift`: change in the share of pairs ordered rightly, from the first judgement to the last. `seconds`: the median
    of a judgement. `weight`: for `resolve`, 1 on average over judgements.
    """

    rater: str
    judgements: int
    reliability: Interval
    agreement: Interval | None
    gold: Interval | None
    place_bias: Interval
    length_bias: Interval | None
    drift: Interval | None
    seconds: float | None
    weight: float
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class RaterPair:
    """How far two raters order alike what both ranked, over how many prompts; `expected` is what the model explains
    (None for fewer than three prompts)."""

    first: str
    second: str
    prompts: int
    agreement: Interval
    expected: float | None


@dataclass(frozen=True)
class Quality:
    """`raters`, the least reliable first; `pairs` of raters who met; groups of raters who may collude.

    `alpha_pairs`, `alpha_ranks`: Krippendorff's alpha of preferences between two responses and of ranks, over
    prompts; None where no two raters met. `scores`: by prompt and response, on the log-odds scale.
    """

    raters: tuple[RaterReport, ...]
    pairs: tuple[RaterPair, ...]
    colluding: tuple[tuple[str, ...], ...]
    alpha_pairs: Interval | None
    alpha_ranks: Interval | None
    scores: Mapping[tuple[str, str], float]

    @property
    def weights(self) -> dict[str, float]:
        """What `resolve_rankings` and `resolve_comparisons` take as `rater_weights`."""
        return {report.rater: report.weight for report in self.raters}


def assess(
    judgements: Iterable[Judgement],
    *,
    lengths: Mapping[str, float] | None = None,
    gold: Mapping[str, TieGroups] | None = None,
    when: Mapping[str, float] | None = None,
    kinds: Collection[RaterKind] = PEOPLE,
    seed: int = 0,
) -> Quality:
    """A report on every rater.

    `lengths` of responses by id (characters, words or tokens), `gold` answers by prompt id as tie groups, `when` each
    judgement was made by its id, in any unit; without it they were made in the order given. Raises `DataError`
    if no judgement ranks two responses, or there are too few for so many raters.
    """
    given = list(judgements)
    what = rated(given, lengths=lengths, gold=gold, kinds=kinds)
    crowd = fit_crowd(what.layout, what.known, seed)
    meetings = find_meetings(what.layout, tuple(what.known))
    seen = _seen(what, crowd, {j.id: float(n) for n, j in enumerate(given)} if when is None else when)
    weights = _weights(what, seen, crowd)
    flags = raise_flags(seen, what.raters, crowd)
    agreed, golden = _with_others(what.layout, meetings), _with_gold(what)
    reports = [
        RaterReport(
            name,
            seen.reliability[k].n,
            seen.reliability[k],
            agreed[k],
            golden[k],
            seen.place[k].share,
            seen.length[k].share if what.lengths_known else None,
            trend.change if (trend := seen.drift[k]) else None,
            seen.seconds[k],
            weights[k],
            flags[k],
        )
        for k, name in enumerate(what.raters)
        if name != GOLD
    ]
    alphas = _alphas(what, meetings, seed)
    return Quality(
        tuple(sorted(reports, key=lambda report: (report.reliability.value, report.rater))),
        _pairs(what, crowd, meetings),
        tuple(sorted(tuple(sorted(what.raters[k] for k in group)) for group in crowd.groups)),
        *alphas,
        {
            (prompt, name): float(score)
            for (prompt, names), scores in zip(what.units, crowd.model.scores, strict=True)
            for name, score in zip(names, scores, strict=False)
        },
    )


def _seen(what: Rated, crowd: Crowd, when: Mapping[str, float]) -> Seen:
    """What flags are raised on, by rater's number."""
    layout, model = crowd.layout, crowd.model
    times = [when.get(j.id, 0.0) for j in what.judgements]
    times += [0.0] * (len(layout.rater) - len(times))
    seconds: dict[str, list[float]] = {}
    for judgement in what.judgements:
        if judgement.seconds is not None:
            seconds.setdefault(judgement.rater, []).append(judgement.seconds)
    medians = [float(np.median(seconds[name])) if name in seconds else None for name in what.raters]
    return Seen(
        reliabilities(layout, model),
        place_biases(layout, model),
        length_biases(layout, model),
        drifts(layout, model, times, tuple(what.known)),
        medians,
        tuple(what.known),
    )


def _weights(what: Rated, seen: Seen, crowd: Crowd) -> list[float]:
    """Log-odds of being right, which makes the best vote of independent raters (Nitzan and Paroush 1982); 0 for those
    no better than a coin. Who colludes shares one vote with his group."""
    odds = [max(0.0, math.log(r.value / (1.0 - r.value))) for r in seen.reliability]
    for group in crowd.groups:
        for k in group:
            odds[k] /= len(group)
    count = [0 if k in what.known else r.n for k, r in enumerate(seen.reliability)]
    mean = sum(n * w for n, w in zip(count, odds, strict=True)) / sum(count)
    return [w / mean if mean > 0.0 else 1.0 for w in odds]


def _with_others(layout: Layout, meetings: Meetings) -> list[Interval | None]:
    """For each rater: share of pairs ordered like the others who ranked the unit."""
    alike, count = agreement(layout.place[meetings.first], layout.place[meetings.second])
    ends = [r for pair in (meetings.first, meetings.second) for r in layout.rater[pair].tolist()]
    units = layout.unit[meetings.first].tolist()
    shares = clustered_shares(np.tile(alike, 2), np.tile(count, 2), [*units, *units], ends, layout.num_raters)
    return [share if share.n else None for share in shares]


def _with_gold(what: Rated) -> list[Interval | None]:
    """For each rater: share of pairs ordered like the gold answers."""
    layout, people = what.layout, len(what.judgements)
    answer = dict(zip(layout.unit[people:].tolist(), layout.place[people:], strict=True))
    own = [r for r in range(people) if int(layout.unit[r]) in answer]
    if not own:
        return [None] * layout.num_raters
    given = np.array([answer[int(layout.unit[r])] for r in own])
    alike, count = agreement(layout.place[own], given)
    unit, rater = layout.unit[own].tolist(), layout.rater[own].tolist()
    shares = clustered_shares(alike, count, unit, rater, layout.num_raters)
    return [share if share.n else None for share in shares]


def _pairs(what: Rated, crowd: Crowd, meetings: Meetings) -> tuple[RaterPair, ...]:
    expected = {(pair.first, pair.second): pair.expected for pair in crowd.pairs}
    shares = pair_intervals(what.layout, meetings)
    return tuple(
        RaterPair(what.raters[a], what.raters[b], units, share, expected.get((a, b)))
        for (a, b), units, share in zip(
            meetings.raters.tolist(), meetings.count.tolist(), shares, strict=True
        )
        if share.n
    )


def _alphas(what: Rated, meetings: Meetings, seed: int) -> tuple[Interval | None, Interval | None]:
    """Of preferences and of ranks, by people alone."""
    if not meetings.count.sum():
        return None, None
    people = len(what.judgements)
    place, unit = what.layout.place[:people], what.layout.unit[:people]
    found = []
    for ratings, metric in ((preferences, interval), (ranks, ordinal)):
        units, values, clusters = ratings(place, unit)
        found.append(krippendorff_interval(units, values, metric, clusters, seed=seed))
    return found[0], found[1]
