"""Do probabilities mean what they say? Bins, calibration error, Brier score, temperature.

Take care with pairs that are stored as (chosen, rejected): there the outcome is always 1, and a
probability of `chosen` cannot be checked against it. Turn them with `as_confidence` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, expit, root


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions between `low` and `high`: how many, their mean, and how often the outcome came true."""

    low: float
    high: float
    count: int
    confidence: float
    frequency: float


def as_confidence(logits: ArrayLike, outcomes: ArrayLike | None = None) -> tuple[Array, Array]:
    """From pairs in any order to (probability of the side with the higher score, whether it won).

    `logits` `(n,)` are score differences, `outcomes` `(n,)` the probability that the first side is the
    better one (1 if None: all pairs are chosen, rejected). The probability lies in 0.5 .. 1. Where the
    scores are equal there is no such side and the outcome is 0.5. Swapping a pair changes nothing.
    """
    d, y = _pair(logits, outcomes)
    return expit(np.abs(d)), 0.5 + np.sign(d) * (y - 0.5)


def equal_width_bins(
    probabilities: ArrayLike, outcomes: ArrayLike, num_bins: int = 10, low: float = 0.0, high: float = 1.0
) -> list[ReliabilityBin]:
    """Bins of equal width between `low` and `high`; empty ones are left out.

    Probabilities and outcomes `(n,)`, both within 0 .. 1. A probability on a border belongs to the bin
    above it. Raises `DataError` if the lengths differ, there are none, or one is out of its range.
    """
    p, y = _checked(probabilities, outcomes)
    if p.min() < low or p.max() > high:
        raise DataError(f"a probability lies outside the bins, which reach from {low} to {high}: widen them")
    edges = np.linspace(low, high, num_bins + 1)
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, num_bins - 1)
    inside = [(float(edges[b]), float(edges[b + 1]), place == b) for b in range(num_bins)]
    return [_bin(p, y, members, lo, hi) for lo, hi, members in inside if members.any()]


def equal_mass_bins(
    probabilities: ArrayLike, outcomes: ArrayLike, num_bins: int = 10
) -> list[ReliabilityBin]:
    """Bins of equally many predictions, as far as the number allows; equal predictions are never split.

    The bounds of a bin are the least and the greatest prediction in it. Fewer bins come out where there
    are fewer predictions, or many equal ones. Raises `DataError` as `equal_width_bins` does.
    """
    p, y = _checked(probabilities, outcomes)
    ordered = np.sort(p)
    starts = [ordered[(len(p) * b) // num_bins] for b in range(num_bins)]
    place = np.searchsorted(np.unique(starts), p, side="right") - 1
    members = [place == b for b in range(int(place.max()) + 1)]
    return [_bin(p, y, m, float(p[m].min()), float(p[m].max())) for m in members]


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean over predictions of |confidence - frequency| of their bin (Naeini et al. 2015).

    Biased upwards on few predictions: noise alone makes it about sqrt(p (1 - p) / count) a bin.
    """
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.frequency) for b in bins) / total


def debiased_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Root of the mean squared calibration error, less what noise alone adds to it (Kumar et al. 2019, section 4.3).

    sqrt(max(0, mean over predictions of (confidence - f)^2 - f (1 - f) / (count - 1))), f being the frequency
    of a bin. The squared error is unbiased for that of the bins, where `expected_calibration_error` of a
    perfect forecast is well above 0 on few predictions. Bins of a single prediction are left out; nan if there
    are no others.
    """
    counted = [b for b in bins if b.count > 1]
    total = sum(b.count for b in counted)
    if not total:
        return float("nan")
    squares = [
        b.count * ((b.confidence - b.frequency) ** 2 - b.frequency * (1 - b.frequency) / (b.count - 1))
        for b in counted
    ]
    return float(np.sqrt(max(0.0, sum(squares) / total)))


def brier(probabilities: ArrayLike, outcomes: ArrayLike) -> float:
    """Mean squared difference of probability and outcome (Brier 1950); 0.25 for always saying a half."""
    p, y = _checked(probabilities, outcomes)
    return float(((p - y) ** 2).mean())


def fit_temperature(
    logits: ArrayLike,
    outcomes: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    low: float = 0.05,
    high: float = 20.0,
) -> float:
    """The T that makes sigmoid(logit / T) likeliest (Guo et al. 2017, section 4.2).

    `logits` `(n,)`, `outcomes` `(n,)` in 0 .. 1 (1 if None), `weights` `(n,)` (1 if None). The likelihood
    is concave in 1 / T; where it has no maximum within `low` .. `high` the nearer end is given: `low`
    when every pair is told right, `high` when the logits are no better than chance. Fit on one part of
    the data and measure on another, or use `held_out_probabilities`.
    """
    d, y = _pair(logits, outcomes)
    w = np.ones_like(d) if weights is None else np.asarray(weights, dtype=np.float64)

    def slope(inverse: float) -> float:
        return float((w * d * (y - expit(inverse * d))).sum())

    if slope(1.0 / high) <= 0.0:
        return high
    if slope(1.0 / low) >= 0.0:
        return low
    return 1.0 / root(slope, 1.0 / high, 1.0 / low)


def held_out_probabilities(
    logits: ArrayLike,
    outcomes: ArrayLike | None = None,
    units: Sequence[object] | None = None,
    num_folds: int = 5,
    seed: int = 0,
) -> Array:
    """sigmoid(logit / T) `(n,)`, each T fitted on the other folds: no prediction has seen its outcome.

    `units` `(n,)` names what must stay in one fold, such as the prompt of a pair; each pair by itself if
    None. Raises `DataError` if there are fewer units than two.
    """
    d, y = _pair(logits, outcomes)
    names = list(range(len(d))) if units is None else list(units)
    distinct = list(dict.fromkeys(names))
    if len(distinct) < 2:
        raise DataError("a held-out temperature needs pairs of at least two prompts: give more data")
    order = np.random.default_rng(seed).permutation(len(distinct))
    fold_of = {distinct[unit]: place % num_folds for place, unit in enumerate(order)}
    fold = np.array([fold_of[name] for name in names])
    calibrated = np.empty_like(d)
    for held_out in np.unique(fold):
        inside: NDArray[np.bool_] = fold == held_out
        calibrated[inside] = expit(d[inside] / fit_temperature(d[~inside], y[~inside]))
    return calibrated


def _bin(p: Array, y: Array, members: NDArray[np.bool_], low: float, high: float) -> ReliabilityBin:
    return ReliabilityBin(low, high, int(members.sum()), float(p[members].mean()), float(y[members].mean()))


def _pair(logits: ArrayLike, outcomes: ArrayLike | None) -> tuple[Array, Array]:
    d = np.asarray(logits, dtype=np.float64)
    y = np.ones_like(d) if outcomes is None else np.asarray(outcomes, dtype=np.float64)
    _, y = _checked(expit(d), y)
    return d, y


def _checked(probabilities: ArrayLike, outcomes: ArrayLike) -> tuple[Array, Array]:
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise DataError(f"calibration needs a prediction for each outcome, not {p.shape} against {y.shape}")
    if not (((p >= 0) & (p <= 1)).all() and ((y >= 0) & (y <= 1)).all()):
        raise DataError("calibration needs probabilities and outcomes between 0 and 1")
    return p, y
