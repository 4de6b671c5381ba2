"""Calibration: by hand, scikit-learn, simulated raters whose calibration is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from tutelage.core.errors import DataError
from tutelage.stats.calibration import (
    ReliabilityBin,
    as_confidence,
    brier,
    debiased_calibration_error,
    equal_mass_bins,
    equal_width_bins,
    expected_calibration_error,
    fit_temperature,
    held_out_probabilities,
)


def raters(num: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Score differences, and what raters with log-odds difference / temperature say of them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2.0, size=num)
    return logits, (generator.random(num) < 1 / (1 + np.exp(-logits / temperature))).astype(float)


def test_bins_by_hand():
    p, y = [0.05, 0.15, 0.2, 0.9, 1.0], [0, 1, 0, 1, 1]
    bins = equal_width_bins(p, y, num_bins=5)
    # [0, 0.2): 0.05, 0.15; [0.2, 0.4): 0.2; [0.8, 1]: 0.9, 1.0
    assert [(b.low, b.high, b.count) for b in bins] == [
        (0.0, 0.2, 2),
        (0.2, pytest.approx(0.4), 1),
        (pytest.approx(0.8), 1.0, 2),
    ]
    assert [b.confidence for b in bins] == pytest.approx([0.1, 0.2, 0.95])
    assert [b.frequency for b in bins] == pytest.approx([0.5, 0.0, 1.0])
    # (2 * 0.4 + 1 * 0.2 + 2 * 0.05) / 5
    assert expected_calibration_error(bins) == pytest.approx(0.22)
    # (0.0025 + 0.7225 + 0.04 + 0.01 + 0) / 5
    assert brier(p, y) == pytest.approx(0.155)


def test_equal_mass_bins_by_hand():
    p, y = [0.9, 0.1, 0.2, 0.3, 0.8, 0.7], [1, 0, 0, 1, 1, 1]
    bins = equal_mass_bins(p, y, num_bins=3)
    assert [(b.low, b.high, b.count) for b in bins] == [(0.1, 0.2, 2), (0.3, 0.7, 2), (0.8, 0.9, 2)]
    assert [b.frequency for b in bins] == [0.0, 1.0, 1.0]
    # equal predictions stay together: the seven fill three bins and a half, so the last one joins them
    bins = equal_mass_bins([0.5] * 7 + [0.9], [1] * 8, num_bins=4)
    assert [(b.low, b.high, b.count) for b in bins] == [(0.5, 0.9, 8)]
    bins = equal_mass_bins([0.5] * 6 + [0.7, 0.9], [1] * 8, num_bins=4)
    assert [(b.low, b.high, b.count) for b in bins] == [(0.5, 0.5, 6), (0.7, 0.9, 2)]


def test_bins_and_brier_against_scikit_learn():
    logits, y = raters(2000, 1.7, seed=1)
    p = 1 / (1 + np.exp(-logits))
    for bins, strategy in ((equal_width_bins(p, y, 12), "uniform"), (equal_mass_bins(p, y, 10), "quantile")):
        frequency, confidence = calibration_curve(y, p, n_bins=len(bins), strategy=strategy)
        # scikit-learn puts its quantile borders between predictions: a bin differs by one prediction
        assert [b.frequency for b in bins] == pytest.approx(frequency.tolist(), abs=6e-3)
        assert [b.confidence for b in bins] == pytest.approx(confidence.tolist(), abs=6e-3)
        assert sum(b.count for b in bins) == 2000
    assert brier(p, y) == pytest.approx(brier_score_loss(y, p))


def test_calibrated_raters_have_little_error_and_overconfident_ones_what_they_should():
    logits, y = raters(40_000, 1.0, seed=2)
    assert expected_calibration_error(equal_mass_bins(1 / (1 + np.exp(-logits)), y, 15)) < 0.02
    sharp = 1 / (1 + np.exp(-3 * logits))
    # what the error is in the limit of many predictions: the mean of |sigmoid(3 d) - sigmoid(d)|
    limit = np.abs(sharp - 1 / (1 + np.exp(-logits))).mean()
    assert expected_calibration_error(equal_mass_bins(sharp, y, 15)) == pytest.approx(limit, abs=0.01)
    assert expected_calibration_error(equal_width_bins(sharp, y, 15)) == pytest.approx(limit, abs=0.01)


def test_confidence_does_not_depend_on_how_pairs_are_told():
    logits, y = raters(500, 1.0, seed=3)
    swapped = np.random.default_rng(4).random(500) < 0.5
    turned = as_confidence(np.where(swapped, -logits, logits), np.where(swapped, 1 - y, y))
    plain = as_confidence(logits, y)
    for a, b in zip(plain, turned, strict=True):
        assert a.tolist() == pytest.approx(b.tolist())
    assert plain[0].min() >= 0.5
    # told as (chosen, rejected), the outcome is 1 throughout and says nothing until turned
    chosen = as_confidence(np.where(y == 1, logits, -logits))
    assert chosen[1].tolist() == plain[1].tolist()
    # a draw of scores is nobody's win
    assert [v.tolist() for v in as_confidence([0.0, -2.0], [1.0, 0.25])] == [
        pytest.approx([0.5, 1 / (1 + math.exp(-2))]),
        pytest.approx([0.5, 0.75]),
    ]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_is_recovered(temperature: float):
    logits, y = raters(40_000, temperature, seed=5)
    assert fit_temperature(logits, y) == pytest.approx(temperature, rel=0.04)


def test_temperature_is_the_slope_of_a_logistic_regression():
    logits, y = raters(300, 1.8, seed=6)
    weights = np.random.default_rng(7).uniform(0.2, 3.0, size=300)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12)
    model.fit(logits[:, None], y, weights)
    assert fit_temperature(logits, y, weights) == pytest.approx(1 / model.coef_[0, 0], rel=1e-5)
    # soft labels: y = 0.7 is seven in ten
    soft = fit_temperature([1.0, 2.0], [0.7, 0.8])
    hard = fit_temperature([1.0] * 10 + [2.0] * 10, [1] * 7 + [0] * 3 + [1] * 8 + [0] * 2)
    assert soft == pytest.approx(hard)
    # scaling the logits scales the temperature, swapping pairs changes nothing
    assert fit_temperature(3 * logits, y) == pytest.approx(3 * fit_temperature(logits, y))
    assert fit_temperature(-logits, 1 - y) == pytest.approx(fit_temperature(logits, y))


def test_temperature_without_a_maximum_stays_at_its_bounds():
    assert fit_temperature([1.0, 2.0, 0.5]) == 0.05
    assert fit_temperature([1.0, -1.0], [0, 1]) == 20.0
    assert fit_temperature([1e6, -1e6], [1, 1], high=50.0) == 50.0


def test_held_out_probabilities_are_calibrated_and_have_not_seen_their_outcome():
    logits, y = raters(4000, 3.0, seed=8)
    raw = expected_calibration_error(equal_mass_bins(1 / (1 + np.exp(-logits)), y))
    calibrated = held_out_probabilities(logits, y)
    assert raw > 0.1
    assert expected_calibration_error(equal_mass_bins(calibrated, y)) < 0.04
    # turning the outcomes of one unit leaves that unit's own predictions as they were
    units = [f"prompt {i // 4}" for i in range(4000)]
    before = held_out_probabilities(logits, y, units)
    y[:4] = 1 - y[:4]
    after = held_out_probabilities(logits, y, units)
    assert before[:4].tolist() == after[:4].tolist()
    assert (before != after).any()
    # one unit, one temperature
    inverse = np.log(before / (1 - before)) / logits
    assert inverse[:4].tolist() == pytest.approx([inverse[0]] * 4)
    assert len(np.unique(inverse.round(9))) == 5


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match="for each outcome"):
        brier([0.5], [1, 0])
    with pytest.raises(DataError, match="between 0 and 1"):
        equal_mass_bins([1.2], [1])
    with pytest.raises(DataError, match="between 0 and 1"):
        fit_temperature([float("nan")], [1])
    with pytest.raises(DataError, match="widen"):
        equal_width_bins([0.3], [1], low=0.5)
    with pytest.raises(DataError, match="two prompts"):
        held_out_probabilities([1.0, 2.0], None, ["a", "a"])


def test_debiased_error_by_hand():
    bins = [
        ReliabilityBin(0.5, 0.6, 11, 0.55, 0.8),
        ReliabilityBin(0.6, 0.9, 11, 0.75, 0.5),
        ReliabilityBin(1, 1, 1, 1, 0),
    ]
    # (0.25^2 - 0.16 / 10 + 0.25^2 - 0.25 / 10) / 2 = (0.0465 + 0.0375) / 2; the bin of one is left out
    assert debiased_calibration_error(bins) == pytest.approx(math.sqrt(0.042))
    assert debiased_calibration_error([ReliabilityBin(0.5, 0.6, 10, 0.5, 0.5)]) == 0.0
    assert math.isnan(debiased_calibration_error(bins[2:]))


@pytest.mark.parametrize(("off", "typical"), [(0.1, (0.09, 0.11)), (0.0, (0.0, 0.025))])
def test_debiased_error_is_right_on_few_predictions(off: float, typical: tuple[float, float]):
    """400 predictions of which each is too high by `off`, drawn many times over."""
    draw = np.random.default_rng(0)
    found, plain = [], []
    for _ in range(300):
        p = draw.uniform(0.6, 0.9, 400)
        bins = equal_mass_bins(p, (draw.random(400) < p - off).astype(float), 8)
        found.append(debiased_calibration_error(bins))
        plain.append(expected_calibration_error(bins))
    low, high = typical
    assert low <= np.median(found) <= high
    assert np.median(plain) > max(off, 0.04)  # a perfect forecast looks 4 points off
