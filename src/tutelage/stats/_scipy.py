"""The few functions of scipy that this room uses, with types: scipy carries none of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg as _untyped_linalg
from scipy import optimize as _untyped_optimize
from scipy import special as _untyped_special
from scipy.sparse import csgraph as _untyped_csgraph

_linalg: Any = _untyped_linalg
_optimize: Any = _untyped_optimize
_special: Any = _untyped_special
_csgraph: Any = _untyped_csgraph

Array = NDArray[np.float64]


def solve_positive(matrix: Array, vector: Array) -> Array:
    """The x with matrix x = vector, for a symmetric positive definite matrix `(H, H)`."""
    return np.asarray(_linalg.solve(matrix, vector, assume_a="pos"), dtype=np.float64)


def inverse(matrices: Array) -> Array:
    """Inverse of each matrix `(..., H, H)`."""
    return np.asarray(np.linalg.inv(matrices), dtype=np.float64)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes sign between `low` and `high` is zero (Brent's method)."""
    return float(_optimize.brentq(function, low, high, xtol=1e-14))


def expit(values: ArrayLike) -> Array:
    """1 / (1 + e^-x), safe at both ends."""
    return np.asarray(_special.expit(values), dtype=np.float64)


def log_expit(values: ArrayLike) -> Array:
    """log(1 / (1 + e^-x)), safe at both ends."""
    return np.asarray(_special.log_expit(values), dtype=np.float64)


def xlogy(factors: ArrayLike, values: ArrayLike) -> Array:
    """x log y, and 0 where x is 0."""
    return np.asarray(_special.xlogy(factors, values), dtype=np.float64)


def log_mean_exp(values: Array, weights: Array) -> float:
    """log of the sum of weights times e^values, safe for large and for infinite values; both `(n,)`."""
    return float(_special.logsumexp(values, b=weights))


def wright_omega(values: ArrayLike) -> Array:
    """The u > 0 with u + log u = z."""
    return np.asarray(_special.wrightomega(values), dtype=np.float64)


def normal_cdf(values: ArrayLike) -> Array:
    """P(Z <= z) of a standard normal."""
    return np.asarray(_special.ndtr(values), dtype=np.float64)


def normal_tail(z: float) -> float:
    """P(Z > z) of a standard normal, exact far out."""
    return float(_special.ndtr(-z))


def binomial_cdf(successes: int, n: int, probability: float) -> float:
    """P(X <= successes) for X binomial of `n` draws."""
    return float(_special.bdtr(successes, n, probability))


def least_squares(residuals: Callable[[Array], Array], start: Array, lowest: Array, highest: Array) -> Array:
    """The parameters within bounds that make the sum of squared residuals least, from `start`."""
    return np.asarray(_optimize.least_squares(residuals, start, bounds=(lowest, highest)).x, dtype=np.float64)


def components(edges: NDArray[np.bool_]) -> tuple[int, NDArray[np.int64], int]:
    """Number of weak components of a directed graph `(K, K)`, the label of each node, and the number of
    strong components."""
    num_weak, labels = _csgraph.connected_components(edges, directed=True, connection="weak")
    num_strong, _ = _csgraph.connected_components(edges, directed=True, connection="strong")
    return int(num_weak), np.asarray(labels, dtype=np.int64), int(num_strong)
