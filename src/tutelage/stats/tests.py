"""Tests of paired results: two models on the same prompts. All are two-sided and give a p-value.

And what becomes of p-values when there are many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, binomial_cdf

EXACT_UP_TO = 16
"""With at most so many differing pairs all sign patterns (65,536) are counted instead of drawn."""


def sign_test(wins: int, losses: int) -> float:
    """Exact p-value of the hypothesis that a win is as likely as a loss; ties are left out beforehand.

    1 where there is neither win nor loss.
    """
    n = wins + losses
    return min(1.0, 2.0 * binomial_cdf(min(wins, losses), n, 0.5)) if n else 1.0


def mcnemar_exact(first: ArrayLike, second: ArrayLike) -> float:
    """Exact p-value that two models are right equally often (McNemar 1947, binomial form).

    `first`, `second` `(n,)` bool, in the same order. Only prompts on which they differ say anything.
    Raises `DataError` if their lengths differ.
    """
    a, b = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    _same_length(len(a), len(b))
    return sign_test(int((a & ~b).sum()), int((~a & b).sum()))


def paired_permutation(
    first: ArrayLike, second: ArrayLike, num_permutations: int = 10_000, seed: int = 0
) -> float:
    """p-value that within each pair the two values could as well be swapped (Fisher 1935), by the mean.

    `first`, `second` `(n,)`. Exact with up to `EXACT_UP_TO` differing pairs; beyond, over
    `num_permutations` random sign patterns, the observed one counted among them (Phipson and Smyth 2010),
    so that it is never 0. Raises `DataError` if the lengths differ.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    _same_length(len(a), len(b))
    differences: Array = (a - b)[a != b]
    n = len(differences)
    if n == 0:
        return 1.0
    observed = abs(float(differences.sum()))
    # sums that are equal on paper may differ in their last digits
    threshold = observed - 1e-9 * float(np.abs(differences).sum())
    if n <= EXACT_UP_TO:
        minus = (np.arange(1 << n)[:, None] >> np.arange(n)[None, :]) & 1
        return float((np.abs((1.0 - 2.0 * minus) @ differences) >= threshold).mean())
    generator = np.random.default_rng(seed)
    at_once = max(1, 4_000_000 // n)
    as_far = 0
    for start in range(0, num_permutations, at_once):
        size = (min(at_once, num_permutations - start), n)
        signs = 1.0 - 2.0 * generator.integers(2, size=size)
        as_far += int((np.abs(signs @ differences) >= threshold).sum())
    return (as_far + 1) / (num_permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): below 0.05, and the chance of any false one is at most 0.05.

    In the order given. It holds however the tests depend on one another.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(order), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Benjamini and Hochberg 1995): of those below 0.05, at most 0.05 are false.

    In the order given. It finds more than `holm` where much is to be found, and as little where nothing is.
    """
    order = sorted(range(len(p_values)), key=lambda i: -p_values[i])
    adjusted, least = [0.0] * len(order), 1.0
    for place, i in enumerate(order):
        least = min(least, p_values[i] * len(order) / (len(order) - place))
        adjusted[i] = least
    return adjusted


def _same_length(first: int, second: int) -> None:
    if first != second:
        raise DataError(f"a paired test needs pairs, not {first} values against {second}")
