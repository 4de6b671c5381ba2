"""Lines through values against scipy, and raters who tire."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress

from tests.stats.rater_worlds import draw, follows
from tutelage.core.errors import DataError
from tutelage.stats.drift import MIN_RANKINGS, drifts, trend
from tutelage.stats.raters import fit_raters


def test_a_line_by_hand_and_against_scipy() -> None:
    # 0, 1, 3 at times 10, 20, 30: slope 1.5 a step of ten, 3 from first to last
    assert trend([0.0, 1.0, 3.0], [10, 20, 30]).change.value == pytest.approx(3.0)
    generator = np.random.default_rng(0)
    times = np.sort(generator.uniform(5, 9, 300))
    values = 0.4 * times + generator.normal(size=300)
    found, line = trend(values, times).change, linregress(times, values)
    span = times[-1] - times[0]
    assert found.value == pytest.approx(line.slope * span)
    # with errors alike everywhere HC3 is the ordinary one
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * line.stderr * span, rel=0.1)
    assert found.n == 300


def test_the_interval_covers_where_the_spread_changes_too() -> None:
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        times = np.linspace(0, 1, 40)
        values = 0.5 * times + (0.2 + times) * generator.normal(size=40)
        found = trend(values, times).change
        covered += found.low <= 0.5 <= found.high
    assert covered >= 180


def test_what_is_tolerated() -> None:
    values, times = np.linspace(0, 0.5, 100) + 0.01 * np.sin(range(100)), range(100)
    assert trend(values, times).p_value < 1e-6
    assert trend(values, times, tolerated=0.4).p_value < 1e-6
    assert trend(values, times, tolerated=0.6).p_value == 1.0
    assert trend([1.0, 1.0, 1.0], [0, 1, 2]).p_value == 1.0
    with pytest.raises(DataError, match="three values"):
        trend([1.0, 2.0], [0, 1])
    with pytest.raises(DataError, match="different times"):
        trend([1.0, 2.0, 3.0], [1, 1, 1])


def test_a_rater_who_tires_is_told_from_those_who_do_not() -> None:
    asked = iter(range(10**6))

    def tires(score, longer, shown_at, generator):  # type: ignore[no-untyped-def]
        left = max(0.0, 1.0 - next(asked) / 200)
        return 2.0 * left * score + generator.gumbel(size=len(score))

    world = draw([*[follows(1.0)] * 7, tires], units=400)
    found = drifts(world.layout, fit_raters(world.layout), range(len(world.rankings)))
    assert found[7] is not None and found[7].change.high < -0.1 and found[7].p_value < 2e-3
    others = [f for f in found[:7] if f is not None]
    assert len(others) == 7
    assert sum(f.change.low <= 0.0 <= f.change.high for f in others) >= 6
    assert min(f.p_value for f in others) > 0.01
    backwards = drifts(world.layout, fit_raters(world.layout), [-n for n in range(len(world.rankings))])
    assert backwards[7] is not None and backwards[7].change.value == pytest.approx(-found[7].change.value)


def test_too_few_rankings_and_gold_answers_have_no_drift() -> None:
    world = draw([follows(1.0)] * 4, units=MIN_RANKINGS - 1, overlap=4)
    model = fit_raters(world.layout)
    assert drifts(world.layout, model, range(len(world.rankings))) == [None] * 4
    world = draw([follows(1.0)] * 4, units=MIN_RANKINGS, overlap=4)
    found = drifts(world.layout, fit_raters(world.layout), range(len(world.rankings)), without=[2])
    assert found[2] is None and found[0] is not None
