"""Whether a rater gets better or worse with time, beyond what the units asked of him."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, normal_tail
from tutelage.stats.choices import Layout
from tutelage.stats.intervals import Interval, quantile
from tutelage.stats.left_out import leave_out
from tutelage.stats.rater_likelihood import SENSITIVITY
from tutelage.stats.raters import RaterModel

MIN_RANKINGS = 20
TOLERATED = 0.1


@dataclass(frozen=True)
class Trend:
    """`change` from the first to the last value along a straight line. `p_value`: that it is no more than what was
    tolerated, either way."""

    change: Interval
    p_value: float


def trend(values: ArrayLike, times: ArrayLike, tolerated: float = 0.0, confidence: float = 0.95) -> Trend:
    """Least-squares line through `values` `(n,)` at `times` `(n,)`, with a variance that may change along it.

    The interval is normal, its error HC3 (MacKinnon and White 1985). Raises `DataError` with fewer than three
    values, or if all are of one time.
    """
    y, t = np.asarray(values, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if y.shape != t.shape or y.ndim != 1 or len(y) < 3 or t.min() == t.max():
        raise DataError(f"a trend needs three values or more, at different times: there are {len(y)}")
    t = (t - t.min()) / (t.max() - t.min())
    x = t - t.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    left = y - y.mean() - slope * x
    leverage = np.minimum(1.0 / len(y) + x**2 / spread, 1.0 - 1e-9)
    error = math.sqrt(float((x**2 * (left / (1.0 - leverage)) ** 2).sum())) / spread
    half = quantile(confidence) * error
    beyond = abs(slope) - tolerated
    p_value = 2.0 * normal_tail(beyond / error) if error > 0.0 else float(beyond <= 0.0)
    return Trend(Interval(slope, slope - half, slope + half, len(y)), min(1.0, p_value))


def drifts(
    layout: Layout,
    model: RaterModel,
    times: Sequence[float],
    without: Collection[int] = (),
    tolerated: float = TOLERATED,
) -> list[Trend | None]:
    """For each rater: how the share of pairs put in the order of the truth changed from first to last ranking.

    Less what the model expects of this rater on these items, and against the truth as the others tell it. `times`
    `(R,)`, one a ranking. None for raters `without`, and with fewer than `MIN_RANKINGS` rankings.
    """
    left = _beyond_expected(layout, model)
    when = np.asarray(times, dtype=np.float64)
    found: list[Trend | None] = []
    for rater in range(layout.num_raters):
        own = np.flatnonzero(layout.rater == rater)
        enough = rater not in without and len(own) >= MIN_RANKINGS and len(set(when[own].tolist())) > 1
        found.append(trend(left[own], when[own], tolerated) if enough else None)
    return found


def _beyond_expected(layout: Layout, model: RaterModel) -> Array:
    """`(R,)`: agreement of each ranking with the others' truth, less what the model expects."""
    left = leave_out(layout, model)
    beyond = left.ahead - left.expected(model.coefficients[layout.rater, SENSITIVITY, None])
    return (np.sign(left.apart) * beyond / 2.0).sum(axis=1) / np.maximum(left.ranked.sum(axis=1), 1)
