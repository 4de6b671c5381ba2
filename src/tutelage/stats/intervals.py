"""Intervals for what is reported: proportions, means, win rates and paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, root

_NORMAL = NormalDist()
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A value, the two ends of its confidence interval, and the number of samples it comes from."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval (1927) of a proportion. Never leaves 0 .. 1, and has a width at 0 and at n.

    Raises `DataError` if `n` is 0 or `successes` is not within 0 .. n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise DataError(f"a proportion needs 0 <= successes <= n and n >= 1, not {successes} of {n}")
    z = quantile(confidence)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # at the ends the exact bound is 0 or 1, which rounding misses by an epsilon
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(share, low, high, n)


def win_rate(wins: int, ties: int, losses: int, confidence: float = 0.95) -> Interval:
    """(wins + ties / 2) / n with a score interval that knows how many ties there were.

    The rate is (1 + p_win - p_loss) / 2, and p_win - p_loss has the interval of Tango (1998) for the
    difference of paired proportions: all values that a score test with the tie rate fitted does not
    reject. Without ties it is Wilson's. Raises `DataError` if there is no comparison or a negative count.
    """
    n = wins + ties + losses
    if n < 1 or min(wins, ties, losses) < 0:
        raise DataError(f"a win rate needs at least one comparison, not {wins}, {ties} and {losses}")
    z = quantile(confidence)

    def score(difference: float) -> float:
        return _tango_score(wins, losses, n, difference)

    observed = (wins - losses) / n
    edge = 1.0 - 1e-12
    low = -1.0 if score(-edge) <= z else root(lambda d: score(d) - z, -edge, min(observed, edge))
    high = 1.0 if score(edge) >= -z else root(lambda d: score(d) + z, max(observed, -edge), edge)
    return Interval((1 + observed) / 2, (1 + low) / 2, (1 + high) / 2, n)


def bootstrap_percentile(
    values: ArrayLike, confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of a mean (Efron 1979). For few or skewed values prefer `bootstrap_bca`.

    `values` `(n,)`. Where they are all equal the interval has no width: the bootstrap cannot see what it
    was not shown. Raises `DataError` if there are none or one is not finite.
    """
    data = _finite(values)
    means = _resampled_means(data, num_resamples, seed)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(data.mean()), float(low), float(high), len(data))


def bootstrap_bca(
    values: ArrayLike, confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Bias-corrected and accelerated interval of a mean (Efron 1987): follows the skew of the values.

    `values` `(n,)`. Where they are all equal the interval has no width. Raises `DataError` if there are
    none or one is not finite.
    """
    data = _finite(values)
    mean = float(data.mean())
    deviations = data - mean
    spread = float((deviations**2).sum())
    if math.sqrt(spread) <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, mean, mean, len(data))
    means = _resampled_means(data, num_resamples, seed)
    # the share of resamples below the mean, ties half, kept inside (0, 1) so that it has a quantile
    below = ((means < mean).sum() + (means == mean).sum() / 2) / num_resamples
    bias = _NORMAL.inv_cdf(min(max(float(below), 0.5 / num_resamples), 1 - 0.5 / num_resamples))
    acceleration = float((deviations**3).sum()) / (6.0 * spread**1.5)
    ends: list[float] = []
    for z in (-quantile(confidence), quantile(confidence)):
        shifted = bias + z
        ends.append(_NORMAL.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(means, ends)
    return Interval(mean, float(low), float(high), len(data))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """BCa interval of mean(first - second), resampling the pairs: what two models got on the same prompts.

    Both `(n,)`, in the same order. Raises `DataError` if their lengths differ, or as `bootstrap_bca`.
    """
    a, b = _finite(first), _finite(second)
    if len(a) != len(b):
        raise DataError(f"a paired difference needs pairs, not {len(a)} values against {len(b)}")
    return bootstrap_bca(a - b, confidence, num_resamples, seed)


def _tango_score(wins: int, losses: int, n: int, difference: float) -> float:
    """Standardised distance of the observed difference from `difference`; falls as `difference` grows."""
    # Tango 1998, eq. 2 on: the likeliest p_loss under p_win - p_loss = difference
    b = -wins - losses + (2 * n - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    p_loss = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * p_loss + difference * (1 - difference))
    distance = wins - losses - n * difference
    if variance <= 0.0:
        return 0.0 if abs(distance) < 1e-12 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def normal_values(count: int) -> Array:
    """`count` values that a standard normal takes equally often: its quantiles at the middles of equal shares."""
    return np.array([_NORMAL.inv_cdf((i + 0.5) / count) for i in range(count)])


def quantile(confidence: float) -> float:
    """How many standard errors an interval of this confidence reaches to either side: 1.96 for 0.95."""
    return _NORMAL.inv_cdf((1 + confidence) / 2)


def _finite(values: ArrayLike) -> Array:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise DataError("an interval needs a list of at least one number, all of them finite")
    return data


def _resampled_means(data: Array, num_resamples: int, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    n = len(data)
    at_once = max(1, _CELLS_AT_ONCE // n)
    means: list[Array] = []
    for start in range(0, num_resamples, at_once):
        drawn = generator.integers(n, size=(min(at_once, num_resamples - start), n))
        means.append(data[drawn].mean(axis=1))
    return np.concatenate(means)
