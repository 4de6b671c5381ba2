"""Bradley-Terry with strengths that are linear in features: a probe of what a representation already knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, expit, log_expit, solve_positive


def fit_linear_bradley_terry(differences: ArrayLike, weights: ArrayLike, ridge: float = 0.1) -> Array:
    """The direction `(H,)` along which chosen responses lie above rejected ones, with a ridge penalty.

    `differences` `(M, H)` are features of the chosen less those of the rejected, `weights` `(M,)` what each
    comparison counts. With W the sum of the weights and s the weighted mean of squared differences, it
    minimises by Newton's method the convex

        mean of -log sigmoid(d . w) + ridge s |w|^2 / 2

    so the answer scales as the inverse of the features. Raises `DataError` if there is nothing to fit or
    `ridge` is not positive (separable data would have no finite answer).
    """
    x, weight = np.asarray(differences, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(weight) or weight.sum() <= 0 or ridge <= 0:
        raise DataError(
            "a linear fit needs comparisons with features and weights, and a ridge above 0: "
            f"got features {x.shape}, weights {weight.shape}, ridge {ridge}"
        )
    share = weight / weight.sum()
    penalty = ridge * max(float(share @ np.square(x).mean(1)), np.finfo(np.float64).tiny)
    width: int = x.shape[1]
    found: Array = np.zeros(width)
    loss = _loss(x, share, penalty, found)
    for _ in range(100):
        wrong: Array = share * expit(-(x @ found))
        gradient: Array = penalty * found - x.T @ wrong
        curvature: Array = (x.T * (wrong * expit(x @ found))) @ x + penalty * np.eye(width)
        step = solve_positive(curvature, gradient)
        if np.abs(step).max() <= 1e-10 * max(1.0, np.abs(found).max()):
            break
        scale = 1.0
        while _loss(x, share, penalty, _along(found, step, scale)) > loss and scale > 1e-6:
            scale /= 2
        found = _along(found, step, scale)
        loss = _loss(x, share, penalty, found)
    return found


def _along(place: Array, step: Array, scale: float) -> Array:
    return place - scale * step


def _loss(x: Array, share: Array, penalty: float, direction: Array) -> float:
    return float(-(share @ log_expit(x @ direction)) + penalty * direction @ direction / 2)
