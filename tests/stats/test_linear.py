"""The linear Bradley-Terry fit against scikit-learn's logistic regression, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tutelage.core.errors import DataError
from tutelage.stats.linear import fit_linear_bradley_terry


def _drawn(count: int = 400, width: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.array([2.0, -1.0, 0.5, 0.0, 0.0])[:width]
    x = rng.normal(size=(count, width))
    wins = rng.random(count) < 1 / (1 + np.exp(-x @ truth))
    return np.where(wins[:, None], x, -x), rng.uniform(0.5, 2.0, count), truth


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_it_is_a_logistic_regression_without_intercept(ridge: float) -> None:
    x, weights, _ = _drawn()
    share = weights / weights.sum()
    penalty = ridge * float(share @ np.square(x).mean(1))
    theirs = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=10_000)
    both = np.concatenate([x, -x])
    theirs.fit(both, np.repeat([1, 0], len(x)), sample_weight=np.concatenate([share, share]) / 2)
    np.testing.assert_allclose(fit_linear_bradley_terry(x, weights, ridge), theirs.coef_[0], atol=1e-5)


def test_it_finds_the_planted_direction() -> None:
    x, weights, truth = _drawn(20_000)
    np.testing.assert_allclose(fit_linear_bradley_terry(x, weights, 1e-6), truth, atol=0.1)


def test_it_scales_as_the_inverse_of_the_features() -> None:
    x, weights, _ = _drawn()
    np.testing.assert_allclose(
        fit_linear_bradley_terry(100 * x, weights) * 100, fit_linear_bradley_terry(x, weights), rtol=1e-6
    )


def test_separable_comparisons_have_a_finite_answer() -> None:
    assert np.isfinite(fit_linear_bradley_terry(np.eye(3) * 50, np.ones(3), 1e-4)).all()


@pytest.mark.parametrize(
    ("x", "weights", "ridge"),
    [(np.zeros((0, 3)), [], 0.1), (np.ones((2, 3)), [1.0], 0.1), (np.ones((1, 3)), [1.0], 0.0)],
)
def test_what_it_cannot_fit_it_names(x: np.ndarray, weights: list[float], ridge: float) -> None:
    with pytest.raises(DataError, match="a linear fit needs"):
        fit_linear_bradley_terry(x, weights, ridge)
