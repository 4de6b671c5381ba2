"""Agreement of two: by hand, scikit-learn, scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.metrics import cohen_kappa_score

from tutelage.core.errors import DataError
from tutelage.stats.agreement import (
    PairAgreement,
    cohens_kappa,
    pairwise_agreement,
)


def test_pairs_by_hand():
    # a > b = c > d against b > a = c, d unranked: (a,b) opposite; (a,c) one ties; (b,c) one ties
    counts = pairwise_agreement([["a"], ["b", "c"], ["d"]], [["b"], ["a", "c"]])
    assert counts == PairAgreement(same=0, opposite=1, one_ties=2, both_tie=0)
    assert counts.rate == pytest.approx(1 / 3)
    assert counts.decided_rate == 0.0
    more = counts + pairwise_agreement([["x"], ["y", "z"]], [["x"], ["z", "y"]])
    assert more == PairAgreement(same=2, opposite=1, one_ties=2, both_tie=1)
    assert more.num_pairs == 6
    assert more.rate == pytest.approx(4 / 6)
    assert more.decided_rate == pytest.approx(2 / 3)
    assert math.isnan(pairwise_agreement([["a"]], [["b"]]).rate)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)))
def test_strict_rankings_against_kendalls_tau(order: list[int]):
    counts = pairwise_agreement([[i] for i in range(6)], [[i] for i in order])
    place = [order.index(i) for i in range(6)]
    # tau = (same - opposite) / pairs
    assert 2 * counts.rate - 1 == pytest.approx(kendalltau(range(6), place).statistic)
    assert counts.num_pairs == 15
    assert counts == pairwise_agreement([[i] for i in order], [[i] for i in range(6)])
    reversed_counts = pairwise_agreement([[i] for i in reversed(range(6))], [[i] for i in order])
    assert reversed_counts.same == counts.opposite


def test_kappa_by_hand_and_against_scikit_learn():
    # 10 items: both yes 4, both no 3, 2 and 1 differ: observed 0.7, expected 0.6 * 0.5 + 0.4 * 0.5 = 0.5
    first = ["yes"] * 6 + ["no"] * 4
    second = ["yes"] * 4 + ["no"] * 2 + ["yes"] + ["no"] * 3
    assert cohens_kappa(first, second) == pytest.approx(0.4)
    generator = np.random.default_rng(1)
    a = generator.integers(4, size=200)
    b = np.where(generator.random(200) < 0.6, a, generator.integers(4, size=200))
    assert cohens_kappa(a.tolist(), b.tolist()) == pytest.approx(cohen_kappa_score(a, b))
    assert cohens_kappa([1, 2, 1], [1, 2, 1]) == 1.0
    assert math.isnan(cohens_kappa([1, 1], [1, 1]))
    for wrong in (([], []), ([1], [1, 2])):
        with pytest.raises(DataError, match="pairs of labels"):
            cohens_kappa(*wrong)
