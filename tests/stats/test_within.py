"""The slope inside groups: recovered from data it was planted in, and against dummy variables."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.stats.within import within_slope


def test_by_hand():
    # less group means: values (-1, 1), (-3, 3); covariate (-1, 1), (-2, 2); (1 + 1 + 6 + 6) / (1 + 1 + 4 + 4)
    assert within_slope([1, 3, 10, 16], [0, 2, 0, 4], ["a", "a", "b", "b"]) == pytest.approx(1.4)


def test_is_the_regression_with_a_dummy_a_group():
    draw = np.random.default_rng(0)
    groups = draw.integers(0, 5, 60)
    x = draw.normal(size=60) + 3 * groups
    y = 0.7 * x - 5 * groups + draw.normal(size=60)
    dummies = np.column_stack([x, *(groups == g for g in range(5))]).astype(float)
    expected = np.linalg.lstsq(dummies, y, rcond=None)[0][0]
    assert within_slope(y, x, groups.tolist()) == pytest.approx(expected)
    # a pooled slope would be far off, below zero
    assert np.polyfit(x, y, 1)[0] < 0 < expected


def test_what_does_not_vary_has_no_slope():
    assert within_slope([1, 2, 3], [5, 5, 9], ["a", "a", "b"]) == 0.0
    assert within_slope([], [], []) == 0.0
    with pytest.raises(DataError, match="as many"):
        within_slope([1], [1, 2], ["a"])
