"""Krippendorff's alpha: his own example, crowd-kit, closed forms, and intervals that cover."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest

from tutelage.core.errors import DataError
from tutelage.stats.krippendorff import (
    Metric,
    interval,
    krippendorff,
    krippendorff_interval,
    nominal,
    ordinal,
    preferences,
    ranks,
)

NAN = math.nan
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: 4 observers, 12 units
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
METRICS = {"nominal": nominal, "ordinal": ordinal, "interval": interval}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def said(table: np.ndarray) -> tuple[list[int], np.ndarray]:
    """A table `(raters, units)` with gaps as units and values."""
    rater, unit = np.nonzero(~np.isnan(table))
    return unit.tolist(), table[rater, unit]


def slow_alpha(table: np.ndarray) -> float:
    """1 - observed over expected disagreement, pair by pair as it is defined; squared differences."""
    within, size = 0.0, 0
    everything: list[float] = []
    for column in table.T:
        values = column[~np.isnan(column)]
        if len(values) > 1:
            pairs = [(a - b) ** 2 for i, a in enumerate(values) for j, b in enumerate(values) if i != j]
            within += sum(pairs) / (len(values) - 1)
            size += len(values)
            everything += values.tolist()
    among = sum((a - b) ** 2 for a in everything for b in everything) / (size - 1)
    return 1.0 - within / among


def test_his_own_example() -> None:
    assert krippendorff(*said(EXAMPLE), nominal) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff(*said(EXAMPLE), ordinal) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff(*said(EXAMPLE), interval) == pytest.approx(0.849, abs=5e-4)
    assert krippendorff(*said(EXAMPLE), interval) == pytest.approx(slow_alpha(EXAMPLE))


def test_against_crowd_kit() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alpha_krippendorff = pytest.importorskip("crowdkit.metrics.data").alpha_krippendorff
    generator = np.random.default_rng(4)
    table = generator.integers(1, 5, size=(6, 80)).astype(float)
    table[generator.random(table.shape) < 0.4] = NAN
    rater, unit = np.nonzero(~np.isnan(table))
    frame = pd.DataFrame({"worker": rater, "task": unit, "label": table[rater, unit]})
    # its reference leaves units with one rating in when it counts what is expected: ours does not
    frame = frame[frame.groupby("task").task.transform("size") > 1]
    assert krippendorff(*said(table), nominal) == pytest.approx(alpha_krippendorff(frame))
    squared = alpha_krippendorff(frame, distance=lambda a, b: (a - b) ** 2)
    assert krippendorff(*said(table), interval) == pytest.approx(squared)


@every_metric
def test_alpha_depends_on_what_it_should(metric: Metric) -> None:
    order = np.random.default_rng(2).permutation(12)
    value = krippendorff(*said(EXAMPLE), metric)
    assert krippendorff(*said(EXAMPLE[::-1][:, order]), metric) == pytest.approx(value)
    assert krippendorff(*said(np.array([[1.0, 2, 3], [1, 2, 3]])), metric) == pytest.approx(1.0)
    assert math.isnan(krippendorff(*said(np.ones((2, 3))), metric))
    # stretching the scale keeps the order, moving it keeps the differences
    assert krippendorff(*said(EXAMPLE + 7), metric) == pytest.approx(value)
    same = metric is not interval
    assert (krippendorff(*said(EXAMPLE**3), metric) == pytest.approx(value)) is same
    # labels have no order, ranks and numbers do
    renamed = np.where(EXAMPLE == 1, 9.0, EXAMPLE)
    assert (krippendorff(*said(renamed), metric) == pytest.approx(value, abs=1e-3)) is (metric is nominal)
    with pytest.raises(DataError, match="two raters"):
        krippendorff([0, 1], [1.0, 2.0], metric)
    with pytest.raises(DataError, match="one number for each"):
        krippendorff([0, 1], [1.0, NAN], metric)


@every_metric
def test_chance_is_zero(metric: Metric) -> None:
    ratings = np.random.default_rng(3).integers(1, 6, size=(3, 4000)).astype(float)
    assert abs(krippendorff(*said(ratings), metric)) < 0.03


@every_metric
def test_the_interval_covers_and_its_value_is_alpha(metric: Metric) -> None:
    """Raters who copy the truth with probability 1/2 and else draw: two agree beyond chance with 1/4, so alpha is."""
    covered = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        truth = generator.integers(5, size=150)
        table = np.where(generator.random((4, 150)) < 0.5, truth, generator.integers(5, size=(4, 150)))
        found = krippendorff_interval(*said(table.astype(float)), metric, num_resamples=300, seed=seed)
        assert found.value == pytest.approx(krippendorff(*said(table.astype(float)), metric))
        assert found.n == 150
        covered += found.low <= 0.25 <= found.high
    assert covered >= 35


def test_clusters_widen_the_interval() -> None:
    """The same unit ten times over says no more than once."""
    generator = np.random.default_rng(5)
    table = generator.integers(3, size=(3, 60)).astype(float)
    units, values = said(table)
    once = krippendorff_interval(units, values, nominal)
    tenfold = [10 * u + copy for copy in range(10) for u in units]
    apart = krippendorff_interval(tenfold, np.tile(values, 10), nominal)
    together = krippendorff_interval(tenfold, np.tile(values, 10), nominal, [u // 10 for u in tenfold])
    assert together.n == 60 and apart.n == 600
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=0.1)
    assert apart.high - apart.low < 0.5 * (once.high - once.low)


def test_rankings_as_preferences_and_as_ranks() -> None:
    # two raters of a unit of three: a > b > c and a > c > b, so two of three pairs alike
    place = np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    units, values, clusters = preferences(place, np.array([0, 0]))
    assert len(units) == 12 and set(clusters) == {0}
    # half of the 12 ratings are 1: nominal disagreement by chance is 2 6 6 / (12 11) = 6/11, observed 1/3
    assert krippendorff(units, values, nominal) == pytest.approx(1 - (1 / 3) / (6 / 11))
    assert krippendorff(*preferences(place[:, ::-1], np.array([0, 0]))[:2], nominal) == pytest.approx(7 / 18)
    units, values, clusters = ranks(place, np.array([0, 0]))
    assert krippendorff(units, values, ordinal) == pytest.approx(krippendorff(*said(place), ordinal))
    # what was not ranked is in nothing, and a tie lies half way
    gap = np.array([[0.5, 0.5, NAN], [0.0, 1.0, NAN]])
    units, values, _ = preferences(gap, np.array([3, 3]))
    assert sorted(values) == [-1.0, 0.0, 0.0, 1.0]


def test_lengths_must_fit() -> None:
    with pytest.raises(DataError, match="one cluster for each"):
        krippendorff_interval([0, 0], [1.0, 2.0], nominal, clusters=[0])
