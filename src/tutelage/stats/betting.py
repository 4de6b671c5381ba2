"""An interval of a mean that holds however often one looks, by betting; and when a comparison may stop.

Outcomes lie in 0 .. 1: a win is 1, a tie 1/2, a loss 0, a mean of several raters anything between. Somebody bets
that the mean is not m, with all fractions of their wealth at once; if it is m, their wealth W(m) is expected to stay
at 1 and ever reaches 1/alpha with a probability of alpha at most (Ville 1939). So the values at which it has not
are an interval at any moment, also one that was chosen by looking (Waudby-Smith and Ramdas 2023, "Estimating means
of bounded random variables by betting"; the mixture of fractions is Cover's, as in Orabona and Jun 2023).
Left out on purpose: a forecast of outcomes that lean another way than those so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, log_mean_exp, root
from tutelage.stats.intervals import Interval

Conclusion = Literal["above", "below", "even", "open"]
MOST_MORE = 100_000
"""Outcomes beyond which no forecast is made."""

_nodes, _weights = np.polynomial.legendre.leggauss(256)
_STAKES: Array = (np.asarray(_nodes, dtype=np.float64) + 1.0) / 2.0
_SHARES: Array = np.asarray(_weights, dtype=np.float64) / 2.0
"""Fractions of the wealth that are bet on each side, and how much of the wealth is bet so: all alike on 0 .. 1."""


def log_wealth(outcomes: ArrayLike, mean: float, times: ArrayLike | None = None) -> float:
    """log W(m): half of a wealth of 1 bets that the mean is above m, half that it is below.

    W(m) = (1/2) integral over f in 0 .. 1 of [prod (1 - f + f x_i / m) + prod (1 - f + f (1 - x_i) / (1 - m))].
    `outcomes` `(n,)` in 0 .. 1, `times` `(n,)` how often each came (once, for None; a forecast has fractions). The
    order says nothing. Infinite where an outcome cannot have the mean m. Raises `DataError` as `betting_interval`.
    """
    values, counts = _checked(outcomes, times)
    sides: list[float] = []
    for outcome, expected in ((values, mean), (1.0 - values, 1.0 - mean)):
        if expected <= 0.0:
            # Where the mean is 0 each outcome is: any other one pays without end, and those lose what is bet.
            if (counts[outcome > 0.0] > 0.0).any():
                return math.inf
            payoff = np.zeros_like(outcome)
        else:
            payoff = outcome / expected
        with np.errstate(divide="ignore"):
            growth = np.log1p(_STAKES[:, None] * (payoff[None, :] - 1.0)) @ counts
        sides.append(log_mean_exp(growth, _SHARES))
    return log_mean_exp(np.array(sides), np.array([0.5, 0.5]))


def betting_interval(
    outcomes: ArrayLike, confidence: float = 0.95, times: ArrayLike | None = None
) -> Interval:
    """The mean of outcomes with an interval that covers the truth at all looks together, with this confidence.

    `outcomes` `(n,)`. W(m) is convex in m and at most 1 at the mean of the outcomes, so the values with
    W(m) < 1 / (1 - confidence) are one interval around it. Raises `DataError` for no outcome, or one outside 0 .. 1.
    """
    values, counts = _together(*_checked(outcomes, times))
    total = float(counts.sum())
    mean = min(max(float(values @ counts) / total, 0.0), 1.0)
    limit = -math.log1p(-confidence)

    def above(m: float) -> float:
        # Brent's method wants numbers: beyond some wealth it is all the same.
        return min(log_wealth(values, m, counts) - limit, 1e6)

    edge = 1e-12
    low = 0.0 if mean <= edge or above(edge) < 0.0 else root(above, edge, mean)
    high = 1.0 if mean >= 1.0 - edge or above(1.0 - edge) < 0.0 else root(above, mean, 1.0 - edge)
    return Interval(mean, low, high, round(total))


def conclusion(found: Interval, margin: float) -> Conclusion:
    """Whether outcomes are clearly above 1/2, clearly below, as good as even (within `margin`), or still open."""
    if found.low > 0.5:
        return "above"
    if found.high < 0.5:
        return "below"
    return "even" if 0.5 - margin <= found.low and found.high <= 0.5 + margin else "open"


def more_needed(outcomes: ArrayLike, margin: float, confidence: float = 0.95) -> int | None:
    """About how many outcomes more until there is a conclusion, if they go on as those so far; 0 if there is one.

    None beyond `MOST_MORE`. Counts are scaled up until the interval leaves 1/2, or lies within `margin` of it.
    Raises `DataError` as `betting_interval`.
    """
    values, counts = _together(*_checked(outcomes, None))
    n = float(counts.sum())

    def settled(total: float) -> bool:
        return conclusion(betting_interval(values, confidence, counts * (total / n)), margin) != "open"

    if settled(n):
        return 0
    last = _first(settled, n, n + MOST_MORE)
    return None if last is None else max(1, math.ceil(last - n))


def _first(holds: Callable[[float], bool], low: float, most: float) -> float | None:
    """About the smallest number above `low` for which something holds, to a hundredth; None if not up to `most`."""
    high = 2.0 * low
    while not holds(min(high, most)):
        if high >= most:
            return None
        low, high = high, 2.0 * high
    high = min(high, most)
    while high - low > max(0.5, 0.01 * high):
        middle = (low + high) / 2.0
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _together(values: Array, counts: Array) -> tuple[Array, Array]:
    """Equal outcomes once, with how often they came."""
    distinct, place = np.unique(values, return_inverse=True)
    return distinct, np.bincount(place, weights=counts).astype(np.float64)


def _checked(outcomes: ArrayLike, times: ArrayLike | None) -> tuple[Array, Array]:
    values = np.asarray(outcomes, dtype=np.float64)
    counts = np.ones_like(values) if times is None else np.asarray(times, dtype=np.float64)
    if values.ndim != 1 or counts.shape != values.shape or not counts.sum() > 0.0 or (counts < 0.0).any():
        raise DataError("a comparison needs a list of at least one outcome: collect judgements first")
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise DataError("an outcome is outside 0 .. 1: a win is 1, a tie 1/2, a loss 0")
    return values, counts
