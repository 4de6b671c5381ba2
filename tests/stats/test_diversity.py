"""Diversity of an ensemble: by hand, against numpy, and its two ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tutelage.stats.diversity import disagreement, mean_correlation


def test_by_hand():
    margins = [[1.0, -1.0, 2.0, 1.0], [1.0, 1.0, -2.0, 0.0], [2.0, -1.0, 0.5, 3.0]]
    # members 0, 1: differ on two of four, and by a half on the last: 2.5 / 4; 0, 2: never; 1, 2: 2.5 / 4
    assert disagreement(margins) == pytest.approx((2.5 + 0 + 2.5) / 12)


def test_correlation_against_numpy():
    margins = np.random.default_rng(0).normal(size=(4, 30))
    table = np.corrcoef(margins)
    assert mean_correlation(margins) == pytest.approx(table[np.triu_indices(4, 1)].mean())


def test_equals_agree_and_opposites_do_not():
    one = np.array([1.0, -2.0, 3.0])
    assert (mean_correlation([one, 2 * one]), disagreement([one, 2 * one])) == (pytest.approx(1.0), 0.0)
    assert (mean_correlation([one, -one]), disagreement([one, -one])) == (pytest.approx(-1.0), 1.0)
    assert mean_correlation([one, np.ones(3)]) == 0.0
    assert math.isnan(mean_correlation([one])) and math.isnan(disagreement([one]))
