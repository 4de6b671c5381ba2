"""Likelihood of rankings under `raters.py`'s model: in the items' scores, and in the raters' coefficients.

Everything is summed over slices of the rankings (`Layout.parts`), so that the arrays in between stay small.
"""

from __future__ import annotations

import numpy as np

from tutelage.stats._scipy import Array, inverse
from tutelage.stats.choices import Index, Layout, choice_curvature

NUM_COEFFICIENTS = 3
SENSITIVITY, PLACE, LENGTH = range(NUM_COEFFICIENTS)
PRIOR_MEAN = np.array([1.0, 0.0, 0.0])
PRIOR_DEVIATION = np.array([1.0, 1.0, 1.0])
MAX_NEWTON = 20
_WIDER = 1.2


def utilities(layout: Layout, theta: Array, scores: Array) -> Array:
    """Utility `(R, M)` of each ranked item to its rater, best first; of what fills up, anything.

    `theta` `(N, 3)`: sensitivity, place, length of each rater. `scores` `(U, K)` of the items.
    """
    rows = layout.unit[:, None]
    each = theta[layout.rater]
    return (
        each[:, :1] * scores[rows, layout.item]
        + each[:, 1:2] * layout.earlier
        + each[:, 2:] * layout.length[rows, layout.item]
    )


def likeliest_scores(layout: Layout, theta: Array, slope: float, start: Array) -> tuple[Array, Array]:
    """Likeliest scores `(U, K)` by Newton steps from `start`, and the precision `(U, K, K)` there.

    Each unit takes steps of its own, half as far where one did not go up; the log-posterior is concave.
    """
    middle = slope * layout.length
    best, precision = np.full(layout.num_units, -np.inf), np.zeros((*start.shape, start.shape[1]))
    scores, move, tried = start, np.zeros_like(start), start
    for _ in range(MAX_NEWTON):
        value, gradient, curvature = _log_posterior(layout, theta, middle, tried)
        up = value >= best
        best, scores = np.where(up, value, best), np.where(up[:, None], tried, scores)
        precision = np.where(up[:, None, None], curvature, precision)
        fresh = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        move = np.where(up[:, None], fresh, move / 2)
        if np.abs(move).max() < 1e-3:
            break
        tried = scores + move
    return scores, precision


def _log_posterior(layout: Layout, theta: Array, middle: Array, scores: Array) -> tuple[Array, Array, Array]:
    """By unit: the log-posterior `(U,)`, its gradient `(U, K)` and minus its Hessian `(U, K, K)`."""
    num_units, widest = scores.shape
    value, gradient = np.zeros(num_units), np.zeros(scores.size)
    hessian = np.zeros(scores.size * widest)
    utility = utilities(layout, theta, scores)
    for part in layout.parts():
        fit, pull, bend = _in_scores(layout, theta, utility, part)
        unit, item = layout.unit[part], layout.item[part]
        place = unit[:, None] * widest + item
        cells = place[:, :, None] * widest + item[:, None, :]
        value += np.bincount(unit, fit, num_units)
        gradient += np.bincount(place.ravel(), pull.ravel(), gradient.size)
        hessian += np.bincount(cells.ravel(), bend.ravel(), hessian.size)
    away = scores - middle
    precision = hessian.reshape(num_units, widest, widest) + np.eye(widest)
    return value - 0.5 * (away**2).sum(axis=1), gradient.reshape(scores.shape) - away, precision


def _in_scores(layout: Layout, theta: Array, utility: Array, part: slice) -> tuple[Array, Array, Array]:
    """Weighted log-likelihoods `(r,)` of a part's rankings, gradients `(r, M)` and minus Hessians `(r, M, M)`."""
    fit, pull, bend = choice_curvature(layout.share[part], layout.real[part], utility[part])
    weight, sensitivity = layout.weight[part], theta[layout.rater[part], SENSITIVITY]
    strength = weight * sensitivity
    return weight * fit, strength[:, None] * pull, (strength * sensitivity)[:, None, None] * bend


def evidence(layout: Layout, theta: Array, scores: Array) -> tuple[Array, Array]:
    """What each ranking adds to its unit's log-posterior at `scores`: gradient `(R, K)`, minus Hessian `(R, K, K)`."""
    count, widest = len(layout.rater), layout.length.shape[1]
    gradient, curvature = np.zeros((count, widest)), np.zeros((count, widest, widest))
    utility = utilities(layout, theta, scores)
    for part in layout.parts():
        _, pull, bend = _in_scores(layout, theta, utility, part)
        item, rows = layout.item[part], np.arange(len(pull))[:, None]
        np.add.at(gradient[part], (rows, item), pull)
        np.add.at(curvature[part], (rows[:, :, None], item[:, :, None], item[:, None, :]), bend)
    return gradient, curvature


def by_item(layout: Layout, values: Array) -> Array:
    """Values `(R, M)` by place in the ranking as `(R, K)` by number of the item; 0 for items not ranked."""
    result = np.zeros((len(values), layout.length.shape[1]))
    np.add.at(result, (np.arange(len(values))[:, None], layout.item), np.where(layout.real, values, 0.0))
    return result


def scores_without(
    layout: Layout, scores: Array, spread: Array, unit: Index, pull: Array, bend: Array
) -> tuple[Array, Array]:
    """Posteriors of scores, mean `(I, K)` and covariance `(I, K, K)`, had some rankings of the unit not been there.

    `unit` `(I,)`; `pull` `(I, K)` and `bend` `(I, K, K)`: what they add (`evidence`, summed). One Newton step away
    from `scores` `(U, K)`, where they helped to put it; `spread` `(U, K, K)` is the covariance there.
    """
    covariance = inverse(inverse(spread[unit]) - bend)
    return scores[unit] - (covariance @ pull[:, :, None])[:, :, 0], covariance


def draw_scores(
    layout: Layout, theta: Array, slope: float, mode: Array, precision: Array, noise: Array
) -> tuple[Array, Array]:
    """Draws `(U, K, S)` about the likeliest scores, and weights `(U, S)` that make them draws of the posterior.

    Drawn from a normal that is a little wider than the curvature says, so that no weight is large (importance
    sampling; Wei and Tanner 1990): where a rater is very sure, the posterior is far from normal. `noise`
    `(U, K, S)` is standard normal.
    """
    reach = np.linalg.cholesky(inverse(precision))
    draws = mode[:, :, None] + _WIDER * (reach @ noise)
    log_weight = 0.5 * (noise**2 - (draws - slope * layout.length[:, :, None]) ** 2).sum(axis=1)
    for part in layout.parts():
        odds, _ = _odds(layout, theta, draws, part)
        real = layout.real[part][:, :, None]
        chosen = np.log(np.where(real, odds, 1.0)) - np.log(np.where(real, layout.share[part] @ odds, 1.0))
        np.add.at(log_weight, layout.unit[part], layout.weight[part][:, None] * chosen.sum(axis=1))
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return draws, weight / weight.sum(axis=1, keepdims=True)


def expected_curvature(
    layout: Layout, theta: Array, draws: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Of the expected log-posterior of each rater's coefficients, over weighted draws of the scores: gradient
    `(N, 3)`, minus the Hessian `(N, 3, 3)`, and the variance over draws of the gradient `(N, 3, 3)`."""
    size = (layout.num_raters, NUM_COEFFICIENTS)
    gradient, information, missing = np.zeros(size), np.zeros((*size, size[1])), np.zeros((*size, size[1]))
    for part in layout.parts():
        rater, often = layout.rater[part], weights[layout.unit[part]][:, :, None]
        slopes, curvature = _in_coefficients(layout, theta, draws, part)
        mean = (often * slopes).sum(axis=1)
        apart = slopes - mean[:, None, :]
        weight = layout.weight[part][:, None]
        np.add.at(gradient, rater, weight * mean)
        np.add.at(information, rater, weight[:, :, None] * (often[..., None] * curvature).sum(axis=1))
        varying = (often * apart).transpose(0, 2, 1) @ apart
        np.add.at(missing, rater, weight[:, :, None] ** 2 * varying)
    gradient -= (theta - PRIOR_MEAN) / PRIOR_DEVIATION**2
    return gradient, information + np.diag(1.0 / PRIOR_DEVIATION**2), missing


def _odds(layout: Layout, theta: Array, draws: Array, part: slice) -> tuple[Array, list[Array]]:
    """Of a part's rankings: e^utility `(r, M, S)`, the largest being 1, and the features that it is made of."""
    item, rows = layout.item[part], layout.unit[part][:, None]
    score = draws[rows, item]
    fixed = (layout.earlier[part], layout.length[rows, item])
    features = [score, *(np.broadcast_to(x[:, :, None], score.shape) for x in fixed)]
    each = theta[layout.rater[part]].T[:, :, None, None]
    utility = np.where(layout.real[part][:, :, None], sum(x * c for x, c in zip(features, each)), -np.inf)
    return np.exp(utility - utility.max(axis=1, keepdims=True)), features


def _in_coefficients(layout: Layout, theta: Array, draws: Array, part: slice) -> tuple[Array, Array]:
    """Of a part's rankings and each draw: gradients `(r, S, 3)`, and minus the Hessians `(r, S, 3, 3)`."""
    share, real = layout.share[part], layout.real[part][:, :, None]
    odds, features = _odds(layout, theta, draws, part)
    per = real / np.where(real, share @ odds, 1.0)
    means = [(share @ (odds * x)) * per for x in features]
    slopes = np.stack([((x - mean) * real).sum(axis=1) for x, mean in zip(features, means)], axis=2)
    curvature = np.zeros((*slopes.shape, NUM_COEFFICIENTS))
    for f in range(NUM_COEFFICIENTS):
        for g in range(f, NUM_COEFFICIENTS):
            product = (share @ (odds * features[f] * features[g])) * per
            curvature[:, :, f, g] = (product - means[f] * means[g]).sum(axis=1)
            curvature[:, :, g, f] = curvature[:, :, f, g]
    return slopes, curvature
