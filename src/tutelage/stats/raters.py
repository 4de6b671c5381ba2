"""How far each rater can be trusted, and what the answers are worth, from rankings alone.

Rater k ranks the items of a unit as if each had the utility

    u_i = sensitivity_k s_i + place_k (minus the number of items shown before i) + length_k l_i

and the ranking were drawn by Plackett-Luce, so that of any two items i is put before j with probability
sigmoid(u_i - u_j). Scores s_i are N(slope l_i, 1): what all raters share is the truth, and its deviation is the
unit. So a sensitivity of 0 is a rater who does not look, a negative one a rater who ranks upside down, and the
two other coefficients are what pulls this rater and not the others. It is Crowd-BT (Chen et al. 2013, "Pairwise
ranking aggregation in a crowdsourced setting") with three changes: whole rankings, a sensitivity in place of
a probability of swapping (Whitehill et al. 2009, "Whose vote should count more", for labels), and biases that
stand beside the truth instead of being taken for it.

Scores are integrated out, not fitted along: a unit has few raters, and scores that are fitted follow them, so
that whoever is noisy looks better than he is (Neyman and Scott 1948). Expectation-maximisation with a normal
approximation of each unit's posterior, and fixed draws from it (Wei and Tanner 1990).

Left out on purpose: raters whose answers depend on one another given the truth. `collusion.py` finds them, and
a smaller weight makes one voice of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, inverse
from tutelage.stats.choices import Layout
from tutelage.stats.fixed_point import Anderson
from tutelage.stats.intervals import normal_values
from tutelage.stats.meetings import find_meetings, one_factor
from tutelage.stats.rater_likelihood import (
    LENGTH,
    NUM_COEFFICIENTS,
    PRIOR_DEVIATION,
    SENSITIVITY,
    draw_scores,
    expected_curvature,
    likeliest_scores,
)

MAX_STEPS = 300
COARSE, FINE = (8, 0.05), (32, 0.01)
"""How many draws, and settled when no coefficient moves by more than this part of its standard error."""


@dataclass(frozen=True, eq=False)
class RaterModel:
    """What `fit_raters` found.

    `coefficients` `(N, 3)`: sensitivity, place and length of each rater, with `covariance` `(N, 3, 3)` from the
    curvature of the posterior, the others' coefficients taken as known. `scores` `(U, K)`: the items' likeliest,
    with `spread` `(U, K, K)`, their covariance. `length_slope`: how much scores rise with length.
    """

    coefficients: Array
    covariance: Array
    scores: Array
    spread: Array
    length_slope: float


def fit_raters(
    layout: Layout,
    known: Mapping[int, float] | None = None,
    start: RaterModel | None = None,
    seed: int = 0,
) -> RaterModel:
    """Coefficients of every rater and scores of every item, by expectation-maximisation.

    A ranking of weight w counts as w rankings, so two copies of a voice with 1/2 each are one. `known` names
    raters whose sensitivity is given, and who have no bias: gold answers are such a rater. It sets out from `start`,
    or from `first_look`. Raises `DataError` if the fit does not settle.
    """
    begun = start or first_look(layout, known, seed)
    free = np.ones_like(begun.coefficients)
    free[list(known or {})] = 0.0
    return _settle(layout, _settle(layout, begun, free, COARSE, seed), free, FINE, seed)


def first_look(layout: Layout, known: Mapping[int, float] | None = None, seed: int = 0) -> RaterModel:
    """The model with the sensitivities that `one_factor` finds, only the biases being fitted.

    It is rough, but a few colluding raters do not sway it. Likelihood alone may take them for the truth: a copy
    is so improbable an accident that it outweighs many honest rankings.
    """
    given = dict(known or {})
    common = one_factor(layout, find_meetings(layout), dict.fromkeys(given, 1.0))
    # of two items with scores N(0, 1): 2 probability of the right order - 1, the tanh of half the log-odds
    apart = math.sqrt(2.0) * normal_values(200)
    grid = np.linspace(-3.0, 3.0, 121)
    reached = np.tanh(grid[:, None] * np.abs(apart) / 2.0).mean(axis=1)
    theta = np.zeros((layout.num_raters, NUM_COEFFICIENTS))
    theta[:, SENSITIVITY] = np.interp(common, reached, grid)
    theta[list(given), SENSITIVITY] = list(given.values())
    free = np.ones_like(theta)
    free[:, SENSITIVITY] = 0.0
    free[list(given)] = 0.0
    nothing = np.zeros_like(layout.length)
    empty = np.zeros((*nothing.shape, nothing.shape[1]))
    begun = RaterModel(theta, np.zeros((len(theta), *empty.shape[1:])), nothing, empty, 0.0)
    return _settle(layout, begun, free, COARSE, seed)


def _settle(layout: Layout, begun: RaterModel, free: Array, how: tuple[int, float], seed: int) -> RaterModel:
    """Expectation-maximisation from where it was begun, of the coefficients whose `free` `(N, 3)` is 1."""
    num_draws, tolerance = how
    theta, slope, scores = begun.coefficients, begun.length_slope, begun.scores
    noise = np.random.default_rng(seed).standard_normal((*layout.length.shape, num_draws // 2))
    noise = np.concatenate([noise, -noise], axis=2)
    guess = Anderson()
    for _ in range(MAX_STEPS):
        scores, precision = likeliest_scores(layout, theta, slope, scores)
        draws, weights = draw_scores(layout, theta, slope, scores, precision, noise)
        gradient, information, missing = expected_curvature(layout, theta, draws, weights)
        move = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        moved = theta + free * np.clip(move, -1.0, 1.0)
        slope, moved = _share_length(layout, moved, (draws * weights[:, None, :]).sum(axis=2), free)
        change = moved - theta
        if (change**2 * np.diagonal(information, axis1=1, axis2=2)).max() < tolerance**2:
            covariance = inverse(_observed(information, missing))
            return RaterModel(moved, covariance, scores, inverse(precision), slope)
        theta = guess.next(theta, change) if np.abs(change).max() < 0.1 else moved
    raise DataError(
        "the model of the raters did not settle: there are too few rankings for so many raters; "
        "leave out those with a handful of them"
    )


def _observed(information: Array, missing: Array) -> Array:
    """The information less what not knowing the scores costs (Louis 1982), and no less than the prior's."""
    value, direction = np.linalg.eigh(information - missing)
    least = float((1.0 / PRIOR_DEVIATION**2).min())
    return (direction * np.maximum(value, least)[:, None, :]) @ direction.transpose(0, 2, 1)


def _share_length(layout: Layout, theta: Array, scores: Array, free: Array) -> tuple[float, Array]:
    """How scores rise with length, and coefficients after what all raters share is put with the scores.

    Moving c l to the scores and c sensitivity_k off each rater's length changes no probability, so the prior of
    the length coefficients alone decides, and it is likeliest where their squares sum to the least.
    """
    sensitivity = free[:, LENGTH] * theta[:, SENSITIVITY]
    strength, spread = float((sensitivity**2).sum()), float((layout.length**2).sum())
    shared = float((sensitivity * theta[:, LENGTH]).sum()) / strength if strength > 0.0 else 0.0
    theta = theta.copy()
    theta[:, LENGTH] -= shared * sensitivity
    return (shared + float((layout.length * scores).sum()) / spread if spread > 0.0 else 0.0), theta
