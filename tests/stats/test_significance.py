"""Tests of paired results against scipy, by hand, and their level under the null."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tutelage.core.errors import DataError
from tutelage.stats.tests import benjamini_hochberg, holm, mcnemar_exact, paired_permutation, sign_test


def test_sign_test_by_hand():
    # 5 of 6: 2 (1 + 6) / 64
    assert sign_test(5, 1) == pytest.approx(14 / 64)
    assert sign_test(3, 3) == 1.0
    assert sign_test(0, 0) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_sign_test_against_scipy(wins: int, losses: int):
    if wins + losses:
        expected = stats.binomtest(wins, wins + losses, 0.5).pvalue
        assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)
        assert sign_test(wins, losses) == sign_test(losses, wins)


def test_mcnemar_counts_only_what_differs():
    first = [True] * 5 + [False] * 1 + [True] * 50 + [False] * 40
    second = [False] * 5 + [True] * 1 + [True] * 50 + [False] * 40
    assert mcnemar_exact(first, second) == pytest.approx(14 / 64)
    assert mcnemar_exact(first, first) == 1.0


def test_permutation_by_hand():
    # differences 1, 2, 3: of 8 sign patterns only +++ and --- reach 6
    assert paired_permutation([1, 2, 3], [0, 0, 0]) == pytest.approx(2 / 8)
    # 1, 1, -1: |sum| >= 1 always
    assert paired_permutation([1, 1, 0], [0, 0, 1]) == 1.0
    # pairs without a difference say nothing
    assert paired_permutation([1, 2, 3, 7, 7], [0, 0, 0, 7, 7]) == pytest.approx(2 / 8)
    assert paired_permutation([4.0], [4.0]) == 1.0


def test_permutation_against_scipy():
    generator = np.random.default_rng(1)
    for n, shift in ((9, 0.6), (12, 0.2)):
        first = generator.normal(size=n) + shift
        second = generator.normal(size=n)
        expected = stats.permutation_test(
            (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert paired_permutation(first, second) == pytest.approx(expected, rel=1e-9)


def test_drawn_permutations_agree_with_the_t_test_on_many_normal_pairs():
    generator = np.random.default_rng(2)
    first, second = generator.normal(size=(2, 200))
    first = first + 0.15
    expected = stats.ttest_rel(first, second).pvalue
    assert 0.01 < expected < 0.9
    assert paired_permutation(first, second, seed=3) == pytest.approx(expected, abs=0.02)
    assert paired_permutation(first + 10, second, num_permutations=999) == pytest.approx(1 / 1000)
    assert paired_permutation(first, second, seed=4) == pytest.approx(
        paired_permutation(second, first, seed=5), abs=0.02
    )


def test_levels_under_the_null():
    """A p-value below 0.05 may come up in at most 5% of worlds without a difference."""
    generator = np.random.default_rng(6)
    permutation, mcnemar = [], []
    for _ in range(400):
        first, second = generator.normal(size=(2, 12))
        permutation.append(paired_permutation(first, second))
        a, b = generator.random(size=(2, 60)) < 0.6
        mcnemar.append(mcnemar_exact(a, b))
    assert 0.02 < np.mean(np.array(permutation) < 0.05) < 0.085
    assert np.mean(np.array(mcnemar) < 0.05) < 0.06


def test_lists_of_different_length_are_refused():
    with pytest.raises(DataError, match="pairs"):
        mcnemar_exact([True], [True, False])
    with pytest.raises(DataError, match="pairs"):
        paired_permutation([1.0], [1.0, 2.0])


def test_many_p_values_by_hand_and_against_scipy():
    # sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, none below the one before
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([]) == benjamini_hochberg([]) == []
    p_values = np.random.default_rng(0).uniform(size=50) ** 3
    assert benjamini_hochberg(p_values.tolist()) == pytest.approx(stats.false_discovery_control(p_values))
    assert all(h >= b for h, b in zip(holm(p_values.tolist()), benjamini_hochberg(p_values.tolist())))


def test_one_false_finding_among_many_is_as_rare_as_said():
    generator = np.random.default_rng(1)
    tried = [min(holm(generator.uniform(size=30).tolist())) for _ in range(1000)]
    assert 0.03 < np.mean(np.array(tried) < 0.05) < 0.07
