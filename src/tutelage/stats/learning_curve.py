"""What more judgements would buy: a power law through accuracies at several sizes, and where it leads.

error(n) = floor + scale n^-exponent (Hestness et al. 2017), with the floor between 0 and the least error seen: raters
do not agree with themselves, so no model reaches an error of 0. Everything is measured on the same held-out items, so
intervals draw items, and the curve is fitted anew to each draw.

Left out on purpose: other families. Two or three doublings beyond what was seen is as far as this goes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, least_squares
from tutelage.stats.intervals import Interval

FEWEST_SIZES = 3
STEEPEST = 2.0
"""Largest exponent: what a power law with few points may be fitted with."""


@dataclass(frozen=True)
class LearningCurve:
    """error(n) = floor + scale (n / unit)^-exponent, `unit` being the largest size that was measured."""

    floor: float
    scale: float
    exponent: float
    unit: float

    def accuracy(self, size: float) -> float:
        """What the law says at `size`."""
        return 1.0 - self.floor - self.scale * (size / self.unit) ** -self.exponent


def fit_learning_curve(sizes: ArrayLike, accuracies: ArrayLike) -> LearningCurve:
    """The law nearest to `accuracies` `(P,)` at `sizes` `(P,)` by least squares; it never falls with size.

    Raises `DataError` for fewer than three different sizes, or what is no size or accuracy.
    """
    n, accuracy = np.asarray(sizes, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    if n.shape != accuracy.shape or n.ndim != 1 or len(set(n.tolist())) < FEWEST_SIZES or n.min() <= 0:
        raise DataError(
            f"a learning curve needs accuracies at {FEWEST_SIZES} different sizes above 0, not {n.tolist()}"
        )
    if not (np.isfinite(accuracy).all() and accuracy.min() >= 0 and accuracy.max() <= 1):
        raise DataError("accuracies lie between 0 and 1")
    error: Array = 1.0 - accuracy
    unit = float(n.max())
    least = float(error.min())

    def residuals(parameters: Array) -> Array:
        floor, scale, exponent = parameters
        return np.asarray(floor + scale * (n / unit) ** -exponent - error, dtype=np.float64)

    # the floor starts low and high: from one side alone a flat curve may stop early
    found: list[tuple[float, Array]] = []
    for share in (0.1, 0.9):
        start = np.array([share * least, (1.0 - share) * least + 1e-3, 0.5])
        one = least_squares(residuals, start, np.zeros(3), np.array([least + 1e-9, 1.0, STEEPEST]))
        found.append((float(np.square(residuals(one)).sum()), one))
    floor, scale, exponent = min(found, key=lambda item: item[0])[1].tolist()
    return LearningCurve(floor, scale, exponent, unit)


def forecast_accuracy(
    sizes: ArrayLike,
    right: ArrayLike,
    wanted: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 400,
    seed: int = 0,
) -> list[Interval]:
    """Accuracy that the law gives at each size in `wanted`, with a percentile interval; `n` counts items.

    `right` `(P, T)`: how right a model of each size was on each of T held-out items, 0 to 1 (a mean over several
    trainings of one size is smoother than one). Whole `clusters` `(T,)` of items are drawn, all sizes together, since
    they are measured on the same ones. The interval knows of the items and not of chance in training, nor that the
    law may bend. Raises `DataError` as `fit_learning_curve`.
    """
    values = np.asarray(right, dtype=np.float64)
    if (
        values.ndim != 2
        or values.shape[1] == 0
        or (clusters is not None and len(clusters) != values.shape[1])
    ):
        raise DataError(f"a forecast needs a row a size and a column an item, not {values.shape}")
    at = _fitted_at(sizes, values.mean(1), wanted)
    names = list(range(values.shape[1])) if clusters is None else list(clusters)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    place = np.array([numbers[name] for name in names])
    sums = np.stack([np.bincount(place, row, len(numbers)) for row in values])
    counts = np.bincount(place, minlength=len(numbers)).astype(np.float64)
    generator = np.random.default_rng(seed)
    drawn: list[list[float]] = []
    for _ in range(num_resamples):
        chosen = generator.integers(len(counts), size=len(counts))
        means: Array = sums[:, chosen].sum(1) / counts[chosen].sum()
        drawn.append(_fitted_at(sizes, means, wanted))
    low, high = np.quantile(np.array(drawn), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return [Interval(at[i], float(low[i]), float(high[i]), values.shape[1]) for i in range(len(wanted))]


def _fitted_at(sizes: ArrayLike, accuracies: ArrayLike, wanted: Sequence[float]) -> list[float]:
    curve = fit_learning_curve(sizes, accuracies)
    return [curve.accuracy(size) for size in wanted]
