"""Best of n: what it gains, how far it goes from the policy, and what it draws, in closed form.

Draw n responses from a policy and keep the one that scores highest. That needs no training, and so it is what
a trained policy should be compared with at the same KL.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array


def kl_bound(n: int) -> float:
    """log n - (n - 1) / n, in nats: at most so far is best of `n` from its policy (Stiennon et al. 2020).

    It is the KL divergence itself where no two responses score alike and each is improbable. Where some
    are probable or tied the divergence is less (Beirami et al. 2024, theorem 1). Raises `DataError` if
    `n` is less than 1.
    """
    if n < 1:
        raise DataError(f"the best of {n} responses: draw at least one")
    return math.log(n) - (n - 1) / n


def expected_best(scores: ArrayLike) -> Array:
    """Unbiased estimates of the expected best score of k responses, for k = 1 .. n, from n of them.

    E[best of k] = sum over i of C(i - 1, k - 1) / C(n, k) s_(i), s_(1) <= ... <= s_(n)

    `scores` `(..., n)`, the last axis being responses to one prompt; the result has the same shape, k - 1 being
    the place on the last axis. It is the mean of the best over all subsets of k, and for scores of 0 and 1 it is
    pass@k (Chen et al. 2021, eq. 1). Taking the best of k of the samples over and over would be noisier, and
    1 - (1 - mean)^k biased. Raises `DataError` if there is no score or one is not finite.
    """
    ordered = np.sort(np.atleast_1d(np.asarray(scores, dtype=np.float64)), axis=-1)
    if ordered.size == 0 or not np.isfinite(ordered).all():
        raise DataError("the expected best score needs at least one response, and scores that are finite")
    n = ordered.shape[-1]
    places = np.asarray(range(n, 1, -1), dtype=np.float64)
    weights = np.zeros((n, n))
    for k in range(1, n + 1):
        # from the largest score on: C(n - 1, k - 1) / C(n, k) = k / n, then C(i - 2, k - 1) / C(i - 1, k - 1)
        falling = np.concatenate([[k / n], np.maximum(places - k, 0) / (places - 1)])
        weights[k - 1] = np.cumprod(falling)[::-1]
    return np.asarray(ordered @ weights.T, dtype=np.float64)


def best_distribution(probabilities: ArrayLike, scores: ArrayLike, n: int) -> Array:
    """Probability `(R,)` of each response to be the best of `n`, from its own probability and score, `(R,)` each.

    P(y) = p(y) / p(ties of y) (F(s)^n - F(<s)^n), F(s) being the probability to score at most s

    Without ties p(y) is the probability of its score and P(y) = F(s)^n - F(<s)^n. Among responses that score
    alike the first drawn is kept, so they keep their shares. k rounds of it are best of n^k in one. Raises
    `DataError` if `n` is less than 1 or the probabilities do not sum to 1.
    """
    p, s = np.asarray(probabilities, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if n < 1 or p.shape != s.shape or p.ndim != 1 or abs(float(p.sum()) - 1.0) > 1e-4:
        raise DataError(
            "best of n needs n of at least 1, and a score for each of probabilities that sum to 1"
        )
    _, level = np.unique(s, return_inverse=True)
    tied = np.bincount(level, weights=p)
    at_most = np.concatenate([[0.0], np.minimum(np.cumsum(tied), 1.0)])
    gained = np.diff(at_most**n)
    share = np.divide(p, tied[level], out=np.zeros_like(p), where=tied[level] > 0)
    return np.asarray(share * gained[level], dtype=np.float64)
