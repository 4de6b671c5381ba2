"""Learning curves: a planted law comes back, and intervals hold what would have been."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.stats.learning_curve import fit_learning_curve, forecast_accuracy

SIZES = np.array([50, 100, 200, 400, 800])


def law(n: np.ndarray) -> np.ndarray:
    return 1 - (0.25 + 0.9 * n**-0.4)


def test_a_planted_law_comes_back() -> None:
    curve = fit_learning_curve(SIZES, law(SIZES))
    assert (curve.floor, curve.exponent) == pytest.approx((0.25, 0.4), abs=2e-3)
    assert curve.accuracy(3200) == pytest.approx(law(np.array([3200.0]))[0], abs=1e-4)


def test_a_flat_curve_stays_flat() -> None:
    curve = fit_learning_curve(SIZES, np.full(5, 0.6))
    assert curve.accuracy(200) == pytest.approx(0.6, abs=1e-4)
    assert curve.accuracy(3200) == pytest.approx(0.6, abs=1e-2)


def test_it_never_falls_with_size() -> None:
    curve = fit_learning_curve(SIZES, [0.7, 0.66, 0.68, 0.62, 0.6])
    assert curve.accuracy(1600) >= curve.accuracy(800) >= curve.accuracy(50)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Items differ in how hard they are, alike at all sizes; the truth is the mean over very many."""
    held = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        hard = generator.uniform(size=600)
        right = (hard[None, :] < law(SIZES)[:, None]).astype(float)
        (found,) = forecast_accuracy(SIZES, right, [1600], num_resamples=100, seed=seed)
        held += found.low <= law(np.array([1600.0]))[0] <= found.high
        assert found.n == 600
    assert held >= 34


def test_items_of_one_cluster_stand_together() -> None:
    generator = np.random.default_rng(0)
    hard = np.repeat(generator.uniform(size=100), 6)
    right = (hard[None, :] < law(SIZES)[:, None]).astype(float)
    names = [str(i // 6) for i in range(600)]
    (apart,) = forecast_accuracy(SIZES, right, [1600], num_resamples=100)
    (together,) = forecast_accuracy(SIZES, right, [1600], names, num_resamples=100)
    assert together.value == apart.value
    assert 1.8 < (together.high - together.low) / (apart.high - apart.low) < 3.2  # root of 6


@pytest.mark.parametrize(
    ("sizes", "accuracies"),
    [([10, 20], [0.5, 0.6]), ([10, 10, 20], [0.5] * 3), ([0, 10, 20], [0.5] * 3), ([1, 2, 3], [0.5, 1.2, 1])],
)
def test_what_is_no_curve_is_said(sizes, accuracies) -> None:
    with pytest.raises(DataError):
        fit_learning_curve(sizes, accuracies)
