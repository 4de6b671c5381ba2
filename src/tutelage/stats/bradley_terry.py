"""Scores of items from comparisons of pairs (Bradley and Terry 1952), by Newton's method."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, expit, log_expit
from tutelage.stats.strengths import Strengths, centred_covariance, require_connected

MAX_STEPS = 200


def wins_matrix(comparisons: Iterable[tuple[int, int, float, float]], num_items: int) -> Array:
    """`(K, K)` of how often row was preferred to column.

    A comparison is `(chosen, rejected, preference, weight)`: it adds weight preference to one side and
    weight (1 - preference) to the other, so a tie is a preference of 0.5.
    Raises `DataError` for an item outside 0 .. num_items - 1 or compared with itself.
    """
    wins = np.zeros((num_items, num_items))
    for chosen, rejected, preference, weight in comparisons:
        if chosen == rejected or not (0 <= chosen < num_items and 0 <= rejected < num_items):
            raise DataError(
                f"the comparison of items {chosen} and {rejected} is not between two different ones "
                f"of 0 to {num_items - 1}: correct its indices"
            )
        wins[chosen, rejected] += weight * preference
        wins[rejected, chosen] += weight * (1.0 - preference)
    return wins


def fit_bradley_terry(wins: ArrayLike, ridge: float = 0.0) -> Strengths:
    """Maximise sum of wins[i, j] log sigmoid(s_i - s_j) - ridge / 2 sum of s_i^2 over scores s.

    `wins` `(K, K)` as `wins_matrix` makes it; its diagonal is not looked at, and its entries may be
    fractions. `ridge` is the precision of a normal prior about 0; with any ridge above 0 there is always
    an answer. Raises `DataError` if `wins` is not a square of non-negative numbers, or if without a ridge
    no finite scores are likeliest.
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or not np.isfinite(wins).all() or (wins < 0).any():
        raise DataError("the wins of a Bradley-Terry fit must be a square matrix of numbers from 0 up")
    wins = wins * (1.0 - np.eye(len(wins)))
    if ridge == 0.0:
        require_connected(wins > 0)

    num_items = len(wins)
    contests = wins + wins.T
    scores = np.zeros(num_items)
    best = _log_posterior(scores, wins, ridge)
    for _ in range(MAX_STEPS):
        probability = expit(scores[:, None] - scores[None, :])
        gradient = (wins - contests * probability).sum(axis=1) - ridge * scores
        covariance = centred_covariance(_information(contests, probability), ridge)
        step = covariance @ gradient
        if np.abs(step).max() < 1e-9:
            break
        # Newton may overshoot from far away; the log-posterior is concave, so a shorter step always helps.
        # Near the maximum it is flat to the last digit, and a fall within rounding is no overshoot.
        floor = best - 1e-12 * (1.0 + abs(best))
        length = 1.0
        while (moved := _log_posterior(scores + length * step, wins, ridge)) < floor and length > 1e-10:
            length /= 2.0
        scores = scores + length * step
        scores = scores - scores.mean()
        best = moved
    else:
        raise DataError("the Bradley-Terry fit did not settle, the data say too little: give a ridge")
    probability = expit(scores[:, None] - scores[None, :])
    covariance = centred_covariance(_information(contests, probability), ridge)
    return Strengths(scores, covariance, _log_posterior(scores, wins, 0.0))


def _log_posterior(scores: Array, wins: Array, ridge: float) -> float:
    log_likelihood = (wins * log_expit(scores[:, None] - scores[None, :])).sum()
    return float(log_likelihood - 0.5 * ridge * (scores**2).sum())


def _information(contests: Array, probability: Array) -> Array:
    weight = contests * probability * (1.0 - probability)
    return np.diag(weight.sum(axis=1)) - weight
