"""Best of n: the estimator against all subsets, pass@k, the distribution against all draws, the bound."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.stats.best_of_n import best_distribution, expected_best, kl_bound


def test_the_expected_best_is_the_mean_over_all_subsets():
    scores = np.random.default_rng(0).normal(size=(3, 6)).round(1)  # rounded, so that some are tied
    found = expected_best(scores)
    for row, estimates in zip(scores, found, strict=True):
        for k in range(1, 7):
            by_hand = np.mean([max(subset) for subset in itertools.combinations(row, k)])
            assert estimates[k - 1] == pytest.approx(by_hand, abs=1e-12)


@given(st.integers(1, 40), st.integers(0, 40))
def test_of_right_and_wrong_it_is_pass_at_k(n: int, right: int):
    right = min(n, right)
    found = expected_best([1.0] * right + [0.0] * (n - right))
    expected = [1.0 - math.comb(n - right, k) / math.comb(n, k) for k in range(1, n + 1)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_the_estimate_is_unbiased():
    """Its mean over all draws of n = 3 from four scores is the exact expectation of the best of k."""
    p, s = np.array([0.1, 0.4, 0.2, 0.3]), np.array([0.5, -1.0, 2.0, 0.5])
    mean = np.zeros(3)
    for draw in itertools.product(range(4), repeat=3):
        mean += p[list(draw)].prod() * expected_best(s[list(draw)])
    exact = [best_distribution(p, s, k) @ s for k in (1, 2, 3)]
    assert mean.tolist() == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_distribution_counts_all_draws(n: int):
    p, s = np.array([0.1, 0.4, 0.2, 0.3]), np.array([0.5, -1.0, 2.0, 0.5])
    counted = np.zeros(4)
    for draw in itertools.product(range(4), repeat=n):
        counted[draw[int(np.argmax(s[list(draw)]))]] += p[list(draw)].prod()
    assert best_distribution(p, s, n).tolist() == pytest.approx(counted.tolist(), abs=1e-12)


def test_two_rounds_of_two_are_best_of_four():
    p, s = np.array([0.1, 0.4, 0.2, 0.3]), np.array([0.5, -1.0, 2.0, 0.7])
    twice = best_distribution(best_distribution(p, s, 2), s, 2)
    assert twice.tolist() == pytest.approx(best_distribution(p, s, 4).tolist(), abs=1e-12)


def divergence(q: np.ndarray, p: np.ndarray) -> float:
    return float(np.sum(q[q > 0] * np.log(q[q > 0] / p[q > 0])))


def test_the_bound_by_hand_and_where_it_is_reached():
    # log 4 - 3 / 4 = 1.386294 - 0.75
    assert kl_bound(1) == 0.0
    assert kl_bound(4) == pytest.approx(0.636294, abs=1e-6)
    many = np.full(20_000, 1 / 20_000)
    found = divergence(best_distribution(many, np.arange(20_000), 4), many)
    assert found == pytest.approx(kl_bound(4), abs=1e-3)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.integers(0, 3)), min_size=2, max_size=6), st.integers(1, 9))
def test_the_divergence_never_passes_the_bound(rows: list[tuple[float, int]], n: int):
    weights, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    p = weights / weights.sum()
    assert divergence(best_distribution(p, scores, n), p) <= kl_bound(n) + 1e-9


def test_bad_input_is_refused():
    for scores in ([], [1.0, math.nan], [-math.inf]):
        with pytest.raises(DataError, match="at least one response"):
            expected_best(scores)
    with pytest.raises(DataError, match="sum to 1"):
        best_distribution([0.5, 0.2], [0.0, 1.0], 2)
    with pytest.raises(DataError, match="at least one"):
        kl_bound(0)
