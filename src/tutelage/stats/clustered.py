"""Intervals for values that come in clusters, such as the pairs of one prompt, which stand or fall together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array
from tutelage.stats.intervals import Interval, wilson


def clustered_bootstrap(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a mean when whole clusters are drawn again (Davison and Hinkley 1997, 3.8).

    `values` `(n,)`, `clusters` `(n,)` names of the clusters they belong to. The mean is over values, so a
    large cluster weighs more. Treating the values as independent would make the interval too narrow.
    Raises `DataError` if there are none or the lengths differ.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) != len(clusters) or len(data) == 0:
        raise DataError(f"{len(data)} values and {len(clusters)} clusters: give one cluster for each value")
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    place = np.array([names[name] for name in clusters])
    sums = np.bincount(place, weights=data)
    counts = np.bincount(place).astype(np.float64)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(sums), size=(num_resamples, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(data.mean()), float(low), float(high), len(data))


def clustered_shares(
    shares: Array,
    counts: Array,
    clusters: Sequence[Hashable],
    groups: Sequence[int],
    num_groups: int,
    confidence: float = 0.95,
) -> list[Interval]:
    """For each group: a share of pairs (or of anything) with its interval, when the pairs come in clusters.

    `shares` `(n,)` out of `counts` `(n,)`, the clusters and groups they belong to. It is Wilson's interval as if there
    were fewer pairs: as many as would vary like the clusters do, though no fewer than the clusters and no more than
    there are. So it has a width where a bootstrap of few clusters, all alike, would have none. `n` counts pairs;
    a group without any has no value and an interval from 0 to 1.
    """
    names = {key: index for index, key in enumerate(dict.fromkeys(zip(groups, clusters)))}
    place = np.array([names[key] for key in zip(groups, clusters)], dtype=np.intp)
    size, hits = np.bincount(place, counts), np.bincount(place, shares * counts)
    group = np.array([key[0] for key in names], dtype=np.intp)
    pairs, agreed = (np.bincount(group, each, num_groups) for each in (size, hits))
    share = agreed / np.maximum(pairs, 1)
    units = np.bincount(group, size > 0, num_groups)
    # variance of a ratio of sums over clusters (Cochran 1977, section 6.5)
    varying = np.bincount(group, (hits - share[group] * size) ** 2, num_groups)
    varying = varying * units / np.maximum(units - 1, 1)
    binomial = share * (1.0 - share) * pairs
    worth = pairs * np.divide(binomial, varying, out=np.zeros(num_groups), where=varying > 0)
    found: list[Interval] = []
    for g in range(num_groups):
        if pairs[g] == 0:
            found.append(Interval(math.nan, 0.0, 1.0, 0))
            continue
        n = int(min(max(worth[g], units[g]), pairs[g]))
        near = wilson(min(max(float(share[g]), 0.0), 1.0) * n, n, confidence)
        found.append(Interval(near.value, near.low, near.high, int(pairs[g])))
    return found
