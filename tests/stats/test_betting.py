"""The interval by betting: closed forms, what must not matter, and its error under continuous looking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import betaln

from tutelage.core.errors import DataError
from tutelage.stats.betting import betting_interval, conclusion, log_wealth, more_needed
from tutelage.stats.intervals import Interval, win_rate


def test_wealth_at_one_half_is_the_mixture_that_robbins_gave() -> None:
    # At m = 1/2 a win doubles what was bet and a loss takes it: (1 + f)^w (1 - f)^l, f alike on -1 .. 1, which is
    # 2^(w + l) B(w + 1, l + 1). A tie pays back what was bet.
    for wins, ties, losses in ((3, 0, 1), (0, 5, 0), (7, 4, 2), (60, 30, 41)):
        n = wins + losses
        exact = n * math.log(2) + betaln(wins + 1, losses + 1)
        outcomes = [1.0] * wins + [0.5] * ties + [0.0] * losses
        assert log_wealth(outcomes, 0.5) == pytest.approx(exact, abs=1e-9)


def test_wealth_after_one_outcome_by_hand() -> None:
    # One win at m = 1/4: (1/2) [int (1 - f + 4 f) df + int (1 - f) df] = (1/2) [1 + 3/2 + 1/2] = 3/2.
    assert log_wealth([1.0], 0.25) == pytest.approx(math.log(1.5), abs=1e-12)
    assert log_wealth([1.0], 0.0) == math.inf and log_wealth([0.0], 1.0) == math.inf


def test_wealth_is_expected_to_stay_if_the_mean_is_right() -> None:
    # E W(m) over all 3^4 series of a win (p), a tie (q) or a loss, whose mean is m = p + q / 2: exactly 1.
    p, q = 0.3, 0.25
    chances = {1.0: p, 0.5: q, 0.0: 1 - p - q}
    expected = 0.0
    for series in np.array(np.meshgrid(*[list(chances)] * 4)).reshape(4, -1).T:
        expected += math.prod(chances[x] for x in series) * math.exp(log_wealth(series, p + q / 2))
    assert expected == pytest.approx(1.0, abs=1e-12)


def test_the_interval_holds_its_mean_ends_where_wealth_reaches_the_limit_and_mirrors() -> None:
    outcomes = [1.0] * 12 + [0.5] * 5 + [0.0] * 4
    found = betting_interval(outcomes)
    assert found.value == pytest.approx(14.5 / 21) and found.low < found.value < found.high
    assert log_wealth(outcomes, found.value) <= 0.0
    for end in (found.low, found.high):
        assert log_wealth(outcomes, end) == pytest.approx(math.log(20), abs=1e-6)
    turned = betting_interval([1.0 - x for x in outcomes])
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)
    back = betting_interval(outcomes[::-1])
    assert (back.low, back.high) == pytest.approx((found.low, found.high), abs=1e-9)
    counted = betting_interval([1.0, 0.5, 0.0], times=[12, 5, 4])
    assert (counted.low, counted.high, counted.n) == pytest.approx((found.low, found.high, 21), abs=1e-9)


def test_at_the_ends_of_the_scale() -> None:
    # All won: nothing speaks against 1. The lower end solves W(m) = 20; after one outcome it is still near 0.
    found = betting_interval([1.0] * 10)
    assert found.high == 1.0 and 0.5 < found.low < 1.0
    assert 0.0 < betting_interval([1.0]).low < 0.05 and betting_interval([0.5]).low > 0.0


def test_looking_after_every_outcome_it_errs_less_often_than_it_may() -> None:
    # 400 series of 300 outcomes of two equal models, looked at after each: at m = 1/2 the wealth is Robbins's form.
    rng = np.random.default_rng(3)
    drawn = rng.choice([1.0, 0.5, 0.0], p=[0.35, 0.3, 0.35], size=(400, 300))
    wins, losses = (drawn == 1.0).cumsum(axis=1), (drawn == 0.0).cumsum(axis=1)
    wealth = np.exp((wins + losses) * math.log(2) + betaln(wins + 1, losses + 1))
    ever = (wealth >= 20).any(axis=1).mean()
    ordinary = [
        any(_leaves(won[n], lost[n], n + 1) for n in range(9, 300, 10))
        for won, lost in zip(wins[:100], losses[:100], strict=True)
    ]
    assert ever <= 0.05
    # An ordinary 95% interval, looked at thirty times, errs far more often than it says: this is why.
    assert np.mean(ordinary) > 0.12
    # The closed form stands for the function itself.
    for k in range(3):
        for n in (75, 150, 300):
            assert log_wealth(drawn[k, :n], 0.5) == pytest.approx(math.log(wealth[k, n - 1]), abs=1e-6)


def _leaves(wins: int, losses: int, n: int) -> bool:
    found = win_rate(int(wins), int(n - wins - losses), int(losses))
    return not found.low <= 0.5 <= found.high


def test_it_covers_another_mean_too_at_all_looks_together() -> None:
    # P(win) 0.55, P(tie) 0.2: the mean is 0.65. Missed at any of 12 looks: at most 5% of 200 series may, and do.
    rng = np.random.default_rng(4)
    kinds, missed = [1.0, 0.5, 0.0], 0
    for _ in range(200):
        looks = rng.multinomial(20, [0.55, 0.2, 0.25], size=12).cumsum(axis=0)
        missed += any(log_wealth(kinds, 0.65, times) >= math.log(20) for times in looks)
    assert missed / 200 <= 0.05


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(5)
    series = rng.choice([1.0, 0.5, 0.0], p=[0.6, 0.15, 0.25], size=(50, 200))
    found = [conclusion(betting_interval(one), 0.05) for one in series]
    assert found.count("above") >= 45 and "below" not in found


def test_conclusions() -> None:
    assert conclusion(Interval(0.7, 0.52, 0.8, 50), 0.1) == "above"
    assert conclusion(Interval(0.3, 0.2, 0.48, 50), 0.1) == "below"
    assert conclusion(Interval(0.5, 0.41, 0.59, 500), 0.1) == "even"
    assert conclusion(Interval(0.5, 0.39, 0.59, 50), 0.1) == "open"


def test_how_many_more() -> None:
    leaning = [1.0] * 14 + [0.0] * 7
    more = more_needed(leaning, 0.05)
    assert more is not None and more > 0
    # As foretold: so many more at the same shares decide it, half as many do not.
    for share, decided in ((1.03, True), (0.5, False)):
        times = np.array([14, 7]) * (21 + share * more) / 21
        assert (conclusion(betting_interval([1.0, 0.0], times=times), 0.05) != "open") == decided
    assert more_needed([1.0] * 20, 0.1) == 0
    assert more_needed([1.0, 0.0] * 10, 0.001) is None
    even = more_needed([1.0, 0.0] * 10, 0.1)
    assert even is not None and 100 < even < 2000


def test_what_is_no_outcome_is_refused() -> None:
    for bad in ([], [1.2], [-0.1], [math.nan]):
        with pytest.raises(DataError):
            betting_interval(bad)
