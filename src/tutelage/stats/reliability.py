"""What a rater's coefficients (`raters.py`) come to, as shares of pairs that anyone can picture.

All are about typical pairs: two items of one unit as raters were shown them, their true scores apart as scores are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tutelage.stats._scipy import Array, expit, normal_cdf, normal_tail
from tutelage.stats.choices import Layout
from tutelage.stats.intervals import Interval, normal_values, quantile
from tutelage.stats.left_out import leave_out
from tutelage.stats.rater_likelihood import LENGTH, PLACE, SENSITIVITY
from tutelage.stats.raters import RaterModel

NUM_PAIRS = 1000
TOLERATED = 0.1
"""A bias up to this is let pass: with very many rankings a slight one is no finding."""
_BORROWED = 10


@dataclass(frozen=True)
class Bias:
    """How much more often than 1/2 a rater prefers the one of two equally good items, and whether it is much.

    `p_value`: that it is no more than what was tolerated, either way.
    """

    share: Interval
    p_value: float


def reliabilities(
    layout: Layout, model: RaterModel, confidence: float = 0.95, seed: int = 0
) -> list[Interval]:
    """For each rater: the share of typical pairs put in the true order. 1/2 is a coin, below it upside down.

    Biases count: who follows the order shown is right half the time. The interval is the normal one on the
    log-odds scale (delta method); it takes the truth as the others tell it for known. `n`: the rater's rankings.
    """
    pairs = _typical(layout, model.length_slope, seed)
    right = np.sign(pairs[:, :1]) * pairs
    theta, covariance = model.coefficients.copy(), model.covariance.copy()
    theta[:, SENSITIVITY], error = matched_sensitivities(layout, model)
    covariance[:, SENSITIVITY, :] = covariance[:, :, SENSITIVITY] = 0.0
    covariance[:, SENSITIVITY, SENSITIVITY] = error**2
    chance = expit(right @ theta.T)
    share = chance.mean(axis=0)
    slope = ((chance * (1.0 - chance)).T @ right) / len(pairs)
    error = np.sqrt(np.einsum("nf,nfg,ng->n", slope, covariance, slope)) / (share * (1.0 - share))
    half, middle = quantile(confidence) * error, np.log(share / (1.0 - share))
    low, high = expit(middle - half), expit(middle + half)
    count = _counts(layout)
    return [Interval(float(share[k]), float(low[k]), float(high[k]), count[k]) for k in range(len(share))]


def matched_sensitivities(layout: Layout, model: RaterModel) -> tuple[Array, Array]:
    """For each rater `(N,)`: the sensitivity with which he would agree with the others as often as he does, and its
    standard error.

    The likeliest sensitivity is that only for raters who are what the model says, and so is its error. A sum of
    agreements over rankings has an error of its own whatever they are (White 1982). Pairs count by how sure the
    others are of the order; a prior N(1, 1), and an error helped by everyone's, are for raters of few rankings.
    """
    left = leave_out(layout, model)
    count = np.maximum(left.ranked.sum(axis=1, keepdims=True), 1)
    weight = np.where(left.ranked, 2.0 * normal_cdf(left.apart / np.sqrt(left.doubt)) - 1.0, 0.0)
    # pairs of one ranking hang together: twice as many are not twice the evidence
    weight = weight / np.sqrt(count)
    grid = np.linspace(-4.0, 6.0, 101)
    found = (weight * left.ahead).sum(axis=1)
    expected = np.stack([(weight * left.expected(float(a))).sum(axis=1) for a in grid], axis=1)
    nearest = np.abs(grid - model.coefficients[layout.rater, SENSITIVITY, None]).argmin(axis=1)
    residual = (found - np.take_along_axis(expected, nearest[:, None], axis=1)[:, 0]) ** 2
    rankings = np.maximum(np.bincount(layout.rater, minlength=layout.num_raters), 1)
    own = np.bincount(layout.rater, residual, layout.num_raters)
    variance = rankings * (own + _BORROWED * residual.mean()) / (rankings + _BORROWED)
    total = np.bincount(layout.rater, found, layout.num_raters)
    curve = np.stack([np.bincount(layout.rater, e, layout.num_raters) for e in expected.T], axis=1)
    slope = np.asarray(np.gradient(curve, grid, axis=1), dtype=np.float64)
    # the derivative of (total - curve)^2 / (2 variance) + (a - 1)^2 / 2, which rises with a
    rising = (curve - total[:, None]) * slope / variance[:, None] + grid - 1.0
    at = np.array([np.interp(0.0, np.maximum.accumulate(each), grid) for each in rising])
    steep = np.array([np.interp(float(at[k]), grid, slope[k, :]) for k in range(len(at))])
    return at, 1.0 / np.sqrt(steep**2 / variance + 1.0)


def below(reliability: Interval, bar: float, confidence: float = 0.95) -> float:
    """p-value that a reliability is `bar` or more, one-sided, from its own interval at that confidence."""
    value, low, high, sought = (
        math.log(share / (1.0 - share))
        for share in (reliability.value, reliability.low, reliability.high, bar)
    )
    return normal_tail((sought - value) / ((high - low) / 2.0 / quantile(confidence)))


def place_biases(
    layout: Layout, model: RaterModel, tolerated: float = TOLERATED, seed: int = 0
) -> list[Bias]:
    """For each rater: of two items as good and as long, how much more often than 1/2 the one shown earlier wins."""
    return _biases(layout, model, PLACE, tolerated, seed)


def length_biases(
    layout: Layout, model: RaterModel, tolerated: float = TOLERATED, seed: int = 0
) -> list[Bias]:
    """For each rater: of two items as good as all raters find them, how much more often the longer one wins.

    It is what this rater adds: a liking for length that all raters share cannot be told from the truth.
    """
    return _biases(layout, model, LENGTH, tolerated, seed)


def _biases(layout: Layout, model: RaterModel, which: int, tolerated: float, seed: int) -> list[Bias]:
    apart = np.abs(_typical(layout, model.length_slope, seed)[:, which])
    value = model.coefficients[:, which]
    error = np.sqrt(model.covariance[:, which, which])

    def more_often(coefficients: Array) -> Array:
        return expit(coefficients[:, None] * apart).mean(axis=1) - 0.5

    grid = np.linspace(0.0, 20.0, 2001)
    bound = float(np.interp(tolerated, more_often(grid), grid)) if apart.any() else np.inf
    half = quantile(0.95) * error
    share, low, high = (more_often(c) for c in (value, value - half, value + half))
    count = _counts(layout)
    return [
        Bias(
            Interval(float(share[k]), float(low[k]), float(high[k]), count[k]),
            min(1.0, 2.0 * normal_tail(float((abs(value[k]) - bound) / error[k]))),
        )
        for k in range(layout.num_raters)
    ]


def _typical(layout: Layout, length_slope: float, seed: int) -> Array:
    """Differences `(P, 3)` between two items, in what each coefficient multiplies: score, place, length.

    Every pair is there with the places swapped too, so that by chance neither goes with the other.
    """
    generator = np.random.default_rng(seed)
    several = np.flatnonzero(layout.real.sum(axis=1) > 1)
    if not len(several):
        return np.zeros((1, 3))
    ranking = generator.choice(several, NUM_PAIRS)
    size = layout.real[ranking].sum(axis=1)
    i = (generator.random(NUM_PAIRS) * size).astype(np.intp)
    j = (i + 1 + (generator.random(NUM_PAIRS) * (size - 1)).astype(np.intp)) % size
    length = layout.length[layout.unit[ranking]]
    rows = np.arange(NUM_PAIRS)
    longer = length[rows, layout.item[ranking, i]] - length[rows, layout.item[ranking, j]]
    earlier = layout.earlier[ranking, i] - layout.earlier[ranking, j]
    better = length_slope * longer + np.sqrt(2.0) * generator.permutation(normal_values(NUM_PAIRS))
    return np.concatenate([np.stack([better, sign * earlier, longer], axis=1) for sign in (1.0, -1.0)])


def _counts(layout: Layout) -> list[int]:
    return np.bincount(layout.rater, minlength=layout.num_raters).tolist()
