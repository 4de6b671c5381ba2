"""Where two raters have ranked the same unit: how far they agree there, and how much of it has one cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tutelage.stats._scipy import Array
from tutelage.stats.choices import Index, Layout
from tutelage.stats.clustered import clustered_shares
from tutelage.stats.intervals import Interval

SWEEPS = 60
_START = 0.5


@dataclass(frozen=True, eq=False)
class Meetings:
    """Every meeting of two raters on one unit, and the pairs of raters that they belong to.

    `first`, `second` `(I,)`: numbers of the two rankings, the lesser rater first. `pair` `(I,)`: which of the `raters`
    `(P, 2)` they are by; `count` `(P,)`: how often these two met.
    """

    first: Index
    second: Index
    pair: Index
    raters: Index
    count: Index

    def total(self, values: Array) -> Array:
        """Sum over the meetings of each pair of raters, `(I,)` to `(P,)`."""
        return np.asarray(np.bincount(self.pair, values, len(self.count)), dtype=np.float64)


def find_meetings(layout: Layout, without: Collection[int] = ()) -> Meetings:
    """All meetings, except on units that one of the raters `without` has ranked."""
    left_out = set(layout.unit[np.isin(layout.rater, list(without))].tolist())
    there: dict[int, list[int]] = {}
    for ranking, unit in enumerate(layout.unit.tolist()):
        there.setdefault(unit, []).append(ranking)
    rater: list[int] = layout.rater.tolist()
    met = [
        (a, b) if rater[a] < rater[b] else (b, a)
        for unit, rankings in there.items()
        if unit not in left_out
        for a, b in combinations(rankings, 2)
        if rater[a] != rater[b]
    ]
    both = np.array(met, dtype=np.intp).reshape(-1, 2)
    names = layout.rater[both[:, 0]] * layout.num_raters + layout.rater[both[:, 1]]
    pairs, place, count = np.unique(names, return_inverse=True, return_counts=True)
    raters = np.stack([pairs // layout.num_raters, pairs % layout.num_raters], axis=1)
    return Meetings(both[:, 0], both[:, 1], place, raters, count)


def agreement(first: Array, second: Array) -> tuple[Array, Array]:
    """Share of pairs of items that two rankings order alike, and on how many pairs: `(...)` from places `(..., K)`.

    A place is the middle rank of an item, nan where it was not ranked. A tie against a preference counts half, as
    in `PairAgreement.rate`; without pairs the share is 1/2.
    """
    i, j = np.triu_indices(first.shape[-1], 1)
    x, y = (np.sign(place[..., i] - place[..., j]) for place in (first, second))
    both = ~np.isnan(x * y)
    alike = np.where((x == 0) & (y == 0), 1.0, (1.0 + x * y) / 2.0)
    count = both.sum(axis=-1)
    return np.where(count > 0, np.where(both, alike, 0.0).sum(axis=-1) / np.maximum(count, 1), 0.5), count


def pair_intervals(layout: Layout, meetings: Meetings, confidence: float = 0.95) -> list[Interval]:
    """For each pair of raters: share of pairs of items that they order alike, `n` being the number of those pairs.

    Pairs of one unit stand or fall together: see `clustered_shares`.
    """
    alike, count = agreement(layout.place[meetings.first], layout.place[meetings.second])
    units = layout.unit[meetings.first].tolist()
    return clustered_shares(
        alike, count, units, meetings.pair.tolist(), len(meetings.count), confidence=confidence
    )


def one_factor(layout: Layout, meetings: Meetings, known: Mapping[int, float]) -> Array:
    """How far each rater goes with what all raters have in common, r `(N,)` from -1 to 1, robustly.

    If two raters agree only because both see the same truth, 2 agreement - 1 is about r_i r_j. Minimises the sum
    of sqrt(meetings) |2 agreement_ij - 1 - r_i r_j|, one rater after the other, each a weighted median: a few raters
    who agree with each other for a reason of their own do not move it. `known` raters keep their r; without
    meetings it stays at the start.
    """
    alike, _ = agreement(layout.place[meetings.first], layout.place[meetings.second])
    tau = 2.0 * meetings.total(alike) / np.maximum(meetings.count, 1) - 1.0
    ends = np.concatenate([meetings.raters, meetings.raters[:, ::-1]])
    tau, weight = np.tile(tau, 2), np.tile(np.sqrt(meetings.count), 2)
    order = np.argsort(ends[:, 0], kind="stable")
    ends, tau, weight = ends[order], tau[order], weight[order]
    bounds = np.searchsorted(ends[:, 0], np.arange(layout.num_raters + 1))
    r = np.full(layout.num_raters, _START)
    r[list(known)] = list(known.values())
    for _ in range(SWEEPS):
        before = r.copy()
        for k in range(layout.num_raters):
            own = slice(bounds[k], bounds[k + 1])
            other = r[ends[own, 1]]
            pull = weight[own] * np.abs(other)
            if k not in known and pull.sum() > 0.0:
                ratio = tau[own] / np.where(other == 0.0, 1.0, other)
                r[k] = np.clip(_weighted_median(ratio, pull), -1.0, 1.0)
        if np.abs(r - before).max() < 1e-3:
            break
    # all signs turned explain the rest as well, so those who are known decide
    fixed = np.isin(np.arange(layout.num_raters), list(known))
    said = weight * (fixed[ends[:, 0]] & ~fixed[ends[:, 1]])
    mirrored = np.where(fixed, r, -r)
    losses = [float(said @ np.abs(tau - each[ends[:, 0]] * each[ends[:, 1]])) for each in (r, mirrored)]
    return r if losses[0] <= losses[1] else mirrored


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2.0)])
