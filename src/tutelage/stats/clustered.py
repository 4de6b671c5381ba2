"""Intervals for values that come in clusters, such as the pairs of one prompt, which stand or fall together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats.intervals import Interval


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
