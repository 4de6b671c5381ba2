"""Scores of items from rankings, partial and with ties (Plackett 1975; Luce 1959).

Fitted by Hunter's MM algorithm (2004, "MM algorithms for generalized Bradley-Terry models", section 5).
Ties are treated as in Efron (1977), as in the reward model's loss: with R the sum of e^s over the items
that remain and G that over a tie group of g items, its j-th member (j = 0 .. g - 1) is chosen from
R - (j / g) G. Every denominator stays a positive sum of e^s, so Hunter's minorisation holds unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, wright_omega
from tutelage.stats.strengths import Strengths, centred_covariance, require_connected

MAX_STEPS = 100_000

Ranking = Sequence[Sequence[int]]


def fit_plackett_luce(
    rankings: Sequence[Ranking],
    num_items: int,
    weights: Sequence[float] | None = None,
    ridge: float = 0.0,
) -> Strengths:
    """Maximise the weighted log-likelihood of the rankings, less ridge / 2 sum of s_i^2.

    A ranking is a sequence of tie groups of item numbers, best first; items that are not in it were not
    ranked and say nothing. `weights` are 1 unless given. `ridge` is the precision of a normal prior about
    0; with any ridge above 0 there is always an answer.

    Raises `DataError` for weights that do not fit, for an item outside 0 .. num_items - 1 or ranked twice,
    if without a ridge no finite scores are likeliest, and if the fit does not settle.
    """
    each = [1.0] * len(rankings) if weights is None else list(weights)
    if len(each) != len(rankings) or any(weight < 0 for weight in each):
        raise DataError("each ranking needs one weight, which must not be negative")
    rankings = [ranking for ranking, weight in zip(rankings, each, strict=True) if weight > 0]
    each = [weight for weight in each if weight > 0]
    _check(rankings, num_items)
    if ridge == 0.0:
        require_connected(_beats(rankings, num_items))
    shares, choice_weights, wins = _choices(rankings, each, num_items)

    scores = np.zeros(num_items)
    tolerance = 1e-9 * max(float(wins.max(initial=0.0)), 1.0)
    for _ in range(MAX_STEPS):
        # pull[i] is the sum over choices of weight share_i / denominator, so the gradient is wins - pull e^s
        pull = shares.T @ (choice_weights / (shares @ np.exp(scores)))
        gradient = wins - pull * np.exp(scores) - ridge * scores
        if np.abs(gradient).max() < tolerance:
            break
        scores = _maximise_minorant(wins, pull, ridge)
        scores = scores - scores.mean()
    else:
        raise DataError("the Plackett-Luce fit did not settle, the data say too little: give a ridge")

    denominators = shares @ np.exp(scores)
    probability = shares * np.exp(scores) / denominators[:, None]
    weighted = probability * choice_weights[:, None]
    information = np.diag(weighted.sum(axis=0)) - probability.T @ weighted
    log_likelihood = float(wins @ scores - choice_weights @ np.log(denominators))
    return Strengths(scores, centred_covariance(information, ridge), log_likelihood)


def _maximise_minorant(wins: Array, pull: Array, ridge: float) -> Array:
    """The s that maximises wins s - pull e^s - ridge / 2 s^2, item by item."""
    if ridge == 0.0:
        return np.log(wins / pull)
    # With u = pull e^s / ridge, stationarity wins - pull e^s - ridge s = 0 becomes u + log u = z.
    # An item in no choice has pull 0, and its best score is wins / ridge = 0.
    seen = pull > 0
    safe = np.where(seen, pull, 1.0)
    u = wright_omega(wins / ridge + np.log(safe / ridge))
    return np.where(seen, np.log(u) + np.log(ridge / safe), 0.0)


def _choices(
    rankings: Sequence[Ranking], weights: Sequence[float], num_items: int
) -> tuple[Array, Array, Array]:
    """Shares `(C, K)` with which each item enters each choice's denominator, the weight of each choice
    `(C,)`, and how much weight chose each item `(K,)`. The choice of a last item alone is left out."""
    shares: list[Array] = []
    choice_weights: list[float] = []
    wins = np.zeros(num_items)
    for ranking, weight in zip(rankings, weights, strict=True):
        remaining = np.zeros(num_items)
        remaining[[item for group in ranking for item in group]] = 1.0
        for group in ranking:
            if remaining.sum() < 2:
                break
            members = list(group)
            for j in range(len(members)):
                share = remaining.copy()
                share[members] -= j / len(members)
                shares.append(share)
                choice_weights.append(weight)
            wins[members] += weight
            remaining[members] = 0.0
    return np.array(shares).reshape(-1, num_items), np.array(choice_weights), wins


def _beats(rankings: Sequence[Ranking], num_items: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    beats = np.zeros((num_items, num_items), dtype=np.bool_)
    for ranking in rankings:
        for place, group in enumerate(ranking):
            below = [item for later in ranking[place:] for item in later]
            beats[np.ix_(list(group), below)] = True
    return beats


def _check(rankings: Sequence[Ranking], num_items: int) -> None:
    for number, ranking in enumerate(rankings):
        items = [item for group in ranking for item in group]
        if len(set(items)) != len(items) or any(not 0 <= item < num_items for item in items):
            raise DataError(
                f"ranking {number} names an item twice or one outside 0 to {num_items - 1}: correct it"
            )
