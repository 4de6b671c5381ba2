"""Krippendorff's alpha: agreement of any number of raters beyond chance, with gaps, and its interval.

Krippendorff 2011, "Computing Krippendorff's alpha-reliability". 1 is perfect agreement, 0 chance. Units that
stand or fall together (the pairs of one prompt, the items of one ranking) are given one cluster: the interval
draws whole clusters. Rankings become ratings in two ways: `preferences` of pairs, and `ranks` of items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array
from tutelage.stats.choices import Index
from tutelage.stats.intervals import Interval

Metric = Callable[[Array, Array], Array]
"""From labels `(L,)` and how often each was given `(..., L)` to distances `(..., L, L)`."""
_CELLS_AT_ONCE = 4_000_000


def nominal(labels: Array, counts: Array) -> Array:
    """Labels without an order: 1 between any two."""
    return np.broadcast_to(1.0 - np.eye(len(labels)), (*counts.shape, len(labels)))


def ordinal(labels: Array, counts: Array) -> Array:
    """Ranks such as 1 .. 5: the square of how many ratings lie between two, half of both ends included."""
    middle = np.cumsum(counts, axis=-1) - counts / 2
    return (middle[..., :, None] - middle[..., None, :]) ** 2


def interval(labels: Array, counts: Array) -> Array:
    """Numbers whose differences mean the same everywhere: the square of the difference."""
    distance = (labels[:, None] - labels[None, :]) ** 2
    return np.broadcast_to(distance, (*counts.shape, len(labels)))


def krippendorff(units: Sequence[Hashable], values: ArrayLike, metric: Metric) -> float:
    """Alpha of ratings: `units` `(n,)` says what was rated, `values` `(n,)` how, by whomever.

    Units with one rating are left out. `nan` where everything has one label. Raises `DataError` if no unit has two
    ratings, or the lengths differ.
    """
    labels, coincidences, _ = _coincidences(units, values)
    return float(_alpha(labels, coincidences.sum(axis=0), metric))


def krippendorff_interval(
    units: Sequence[Hashable],
    values: ArrayLike,
    metric: Metric,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Alpha with a percentile interval over units, drawn again by the cluster of each rating, `(n,)`.

    Each unit is a cluster of its own unless they are given. `n` is the number of clusters with a unit of two
    ratings. Resamples in which everything has one label are left out. Raises `DataError` as `krippendorff`.
    """
    labels, each, first = _coincidences(units, values)
    names = units if clusters is None else clusters
    if len(names) != len(units):
        raise DataError(f"{len(units)} ratings and {len(names)} clusters: give one cluster for each rating")
    place = _numbers([names[i] for i in first])
    count = int(place.max()) + 1
    clustered = np.zeros((count, len(labels) ** 2))
    np.add.at(clustered, place, each.reshape(len(each), -1))
    shape = (-1, len(labels), len(labels))
    value = float(_alpha(labels, clustered.sum(axis=0).reshape(shape)[0], metric))
    generator = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // max(clustered.shape))
    drawn: list[Array] = []
    for start in range(0, num_resamples, at_once):
        size = min(at_once, num_resamples - start)
        times = generator.multinomial(count, np.full(count, 1.0 / count), size=size)
        drawn.append(_alpha(labels, (times @ clustered).reshape(shape), metric))
    alphas = np.concatenate(drawn)
    alphas = alphas[~np.isnan(alphas)]
    if not len(alphas):
        return Interval(value, math.nan, math.nan, count)
    low, high = np.quantile(alphas, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), count)


def preferences(place: Array, unit: Index) -> tuple[list[int], Array, list[int]]:
    """Rankings as ratings of pairs: who of two items is ahead, -1 or 1, and 0 for a tie.

    `place` `(R, K)`: the place of each item of the unit, nan where it was not ranked; `unit` `(R,)`. Returns units,
    values and clusters. Every pair is there both ways round, so that the order of its items says nothing. Take
    the `interval` metric, in which a tie lies half way, or `nominal`.
    """
    i, j = np.nonzero(~np.eye(place.shape[1], dtype=np.bool_))
    ahead = np.sign(place[:, j] - place[:, i])
    said, pair = np.nonzero(~np.isnan(ahead))
    names = (unit[said] * place.shape[1] + i[pair]) * place.shape[1] + j[pair]
    return names.tolist(), ahead[said, pair], unit[said].tolist()


def ranks(place: Array, unit: Index) -> tuple[list[int], Array, list[int]]:
    """Rankings as ratings of items: the place that each was given. Take the `ordinal` metric.

    As `preferences`. Units with more items have longer scales, so where sizes differ much prefer the pairs.
    """
    said, item = np.nonzero(~np.isnan(place))
    return (unit[said] * place.shape[1] + item).tolist(), place[said, item], unit[said].tolist()


def _coincidences(units: Sequence[Hashable], values: ArrayLike) -> tuple[Array, Array, Index]:
    """Labels `(L,)`; for each unit of two ratings or more, `(U, L, L)`, how often two ratings of it coincide; and
    the number of one rating of each."""
    given = np.asarray(values, dtype=np.float64)
    if len(given) != len(units) or np.isnan(given).any():
        raise DataError(f"{len(units)} units and {len(given)} ratings: give one number for each")
    labels, label = np.unique(given, return_inverse=True)
    number = _numbers(units)
    counts = np.zeros((int(number.max(initial=-1)) + 1, len(labels)))
    np.add.at(counts, (number, label), 1.0)
    _, first = np.unique(number, return_index=True)
    kept = counts.sum(axis=1) >= 2
    counts, first = counts[kept], first[kept]
    if not len(counts):
        raise DataError("alpha needs at least one unit that two raters have rated")
    # ordered pairs of ratings, a rating never with itself, over one less than the unit's ratings
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(labels))
    return labels, pairs / (counts.sum(axis=1) - 1.0)[:, None, None], first


def _numbers(names: Sequence[Hashable]) -> Index:
    """Names as numbers from 0 in the order in which they first come."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.intp)


def _alpha(labels: Array, coincidence: Array, metric: Metric) -> Array:
    """Alpha of coincidences `(..., L, L)`; nan where nothing could have been disagreed on."""
    totals = coincidence.sum(axis=-1)
    distance = metric(labels, totals)
    chance = totals[..., :, None] * totals[..., None, :] * distance
    expected = chance.sum(axis=(-2, -1)) / np.maximum(totals.sum(axis=-1) - 1.0, 1e-12)
    observed = (coincidence * distance).sum(axis=(-2, -1))
    possible = expected > 0
    return np.where(possible, 1.0 - observed / np.where(possible, expected, 1.0), np.nan)
