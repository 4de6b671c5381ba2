"""Agreement where raters met: counts by hand, the older function, intervals, and one common factor."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.stats.rater_worlds import draw, follows
from tutelage.stats.agreement import pairwise_agreement
from tutelage.stats.choices import RatedRanking, lay_out
from tutelage.stats.clustered import clustered_shares
from tutelage.stats.intervals import wilson
from tutelage.stats.meetings import agreement, find_meetings, one_factor, pair_intervals


def test_meetings_by_hand() -> None:
    order = ((0,), (1,))
    who = [(2, 0), (0, 0), (1, 0), (0, 1), (2, 1), (0, 2), (0, 2)]
    layout = lay_out([RatedRanking(k, u, order, (0, 1)) for k, u in who], [np.zeros(2)] * 3, 3)
    met = find_meetings(layout)
    # unit 0: all three; unit 1: 0 and 2; a rater does not meet himself
    assert met.raters.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert met.count.tolist() == [1, 2, 1]
    assert all(layout.rater[met.first] < layout.rater[met.second])
    assert met.total(np.ones(4)).tolist() == [1.0, 2.0, 1.0]
    assert find_meetings(layout, without=[1]).raters.tolist() == [[0, 2]]


def test_agreement_is_that_of_two_rankings() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        rankings = []
        for _ in range(2):
            items = generator.permutation(6)[: generator.integers(2, 7)]
            cuts = sorted(generator.choice(np.arange(1, len(items)), size=len(items) // 2, replace=False))
            rankings.append(tuple(tuple(map(int, g)) for g in np.split(items, cuts)))
        layout = lay_out([RatedRanking(0, 0, g, tuple(range(6))) for g in rankings], [np.zeros(6)], 1)
        share, count = agreement(layout.place[0], layout.place[1])
        counted = pairwise_agreement(*rankings)
        assert count == counted.num_pairs
        assert share == pytest.approx(counted.rate if counted.num_pairs else 0.5)


def test_shares_of_clusters() -> None:
    # group 0: four clusters of one pair each are independent, so Wilson's interval; group 1: one cluster of ten
    # pairs is worth one; group 2: nothing
    shares = np.array([1.0, 1.0, 0.0, 1.0, 0.7])
    counts = np.array([1, 1, 1, 1, 10])
    one, other, none = clustered_shares(shares, counts, [0, 1, 2, 3, 4], [0, 0, 0, 0, 1], 3)
    expected = wilson(3, 4)
    assert (one.value, one.low, one.high, one.n) == pytest.approx(
        (expected.value, expected.low, expected.high, 4)
    )
    expected = wilson(0.7, 1)
    assert (other.value, other.low, other.high, other.n) == pytest.approx(
        (0.7, expected.low, expected.high, 10)
    )
    assert math.isnan(none.value) and (none.low, none.high, none.n) == (0.0, 1.0, 0)


def test_intervals_of_shares_cover_though_pairs_come_in_clusters() -> None:
    covered = naive = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        rate = generator.beta(2, 2, size=40)
        shares = generator.binomial(15, rate) / 15
        found = clustered_shares(shares, np.full(40, 15), range(40), [0] * 40, 1)[0]
        covered += found.low <= 0.5 <= found.high
        plain = wilson(float(shares.sum() * 15), 600)
        naive += plain.low <= 0.5 <= plain.high
    assert covered >= 180
    assert naive < 140


def test_pair_intervals_and_one_factor() -> None:
    raters = [follows(a) for a in (0.3, 0.7, 1.2, 2.0, 0.0)]
    world = draw(raters, units=400, overlap=3)
    met = find_meetings(world.layout)
    shares = pair_intervals(world.layout, met)
    assert [share.n for share in shares] == (met.count * 15).tolist()
    r = one_factor(world.layout, met, {})
    assert (np.diff(r[:4]) > 0).all()
    assert abs(r[4]) < 0.1
    # the share of agreement is what the factor says
    tau = np.array([2 * share.value - 1 for share in shares])
    said = np.array([r[a] * r[b] for a, b in met.raters])
    assert np.abs(tau - said).max() < 0.1


def test_a_few_who_copy_do_not_move_the_factor() -> None:
    raters = [follows(1.0)] * 9 + [follows(0.0)] * 3
    honest = one_factor(*_met(draw(raters, units=400).layout), {})
    copied = one_factor(*_met(draw(raters, units=400, copies={10: 9, 11: 9}).layout), {})
    assert np.abs(copied[9:]).max() < 0.15
    assert copied[:9].mean() == pytest.approx(honest[:9].mean(), abs=0.07)


def test_known_raters_keep_theirs() -> None:
    world = draw([follows(1.0)] * 4, units=100)
    met = find_meetings(world.layout)
    assert one_factor(world.layout, met, {2: 1.0})[2] == 1.0


def _met(layout):
    return layout, find_meetings(layout)
