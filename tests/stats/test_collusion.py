"""Agreement beyond what the truth explains: who copies is found, who shares a truth or a bias is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stats.rater_worlds import draw, follows
from tutelage.stats.choices import RatedRanking, lay_out
from tutelage.stats.collusion import colluding, shared_answers
from tutelage.stats.crowd import fit_crowd
from tutelage.stats.raters import fit_raters

HONEST = [follows(a) for a in np.linspace(0.4, 2.0, 9)]


def test_copies_of_a_guess_are_found_and_counted_as_one() -> None:
    world = draw([*HONEST, *[follows(0.0)] * 3], units=500, copies={10: 9, 11: 9})
    crowd = fit_crowd(world.layout)
    assert crowd.groups == [(9, 10, 11)]
    pair = next(p for p in crowd.pairs if (p.first, p.second) == (10, 11))
    assert pair.agreement == 1.0 and pair.expected == pytest.approx(0.5, abs=0.1)
    assert pair.copied.low < 1.0 <= pair.copied.high
    weight = {int(k): w for k, w in zip(crowd.layout.rater, crowd.layout.weight, strict=True)}
    assert weight[9] == pytest.approx(1 / 3) and weight[0] == 1.0
    assert np.abs(crowd.model.coefficients[9:, 0]).max() < 0.3


def test_likelihood_alone_would_follow_those_who_copy_most() -> None:
    """Six of fourteen copy a guess: taken for independent they are the truth, and the honest look wrong."""
    world = draw(
        [*HONEST[1:], *[follows(0.0)] * 6], units=500, overlap=6, copies=dict.fromkeys(range(9, 14), 8)
    )
    start = fit_raters(world.layout)
    assert start.coefficients[8:, 0].min() > start.coefficients[:8, 0].max()
    crowd = fit_crowd(world.layout)
    assert crowd.groups == [(8, 9, 10, 11, 12, 13)]
    assert crowd.model.coefficients[8:, 0].max() < crowd.model.coefficients[:8, 0].min()


def test_copies_of_a_good_answer_are_found_too() -> None:
    crowd = fit_crowd(draw([*HONEST, follows(1.0)], units=500, copies={9: 4}).layout)
    assert crowd.groups == [(4, 9)]


def test_a_shared_truth_or_bias_is_no_collusion() -> None:
    sure = [follows(3.0)] * 3
    longer, first = [follows(0.3, length=2.0)] * 3, [follows(0.3, place=1.0)] * 3
    world = draw([*HONEST, *sure, *longer, *first], units=500, slope=0.3)
    assert fit_crowd(world.layout).groups == []


def test_p_values_are_no_smaller_than_chance_makes_them() -> None:
    tested: list[float] = []
    for seed in range(4):
        world = draw([follows(a) for a in np.linspace(0.2, 1.6, 10)], units=150, seed=seed)
        model = fit_raters(world.layout)
        tested += [p.p_value for p in shared_answers(world.layout, model, tolerated=0.0)]
    assert len(tested) == 4 * 45
    assert np.mean(np.array(tested) < 0.05) < 0.1
    assert 0.4 < np.mean(tested) < 0.7


def test_ties_are_drawn_as_they_were_given() -> None:
    """Raters who put all but the best into one group agree on most pairs, and that is no finding."""
    generator = np.random.default_rng(1)
    rankings = []
    for unit in range(150):
        scores = generator.normal(size=6)
        for k in generator.choice(8, size=4, replace=False).tolist():
            order = np.argsort(-(scores + generator.gumbel(size=6))).tolist()
            rankings.append(RatedRanking(k, unit, ((order[0],), tuple(order[1:])), tuple(range(6))))
    crowd = fit_crowd(lay_out(rankings, [np.zeros(6)] * 150, 8))
    assert crowd.groups == []
    excess = [p.agreement - p.expected for p in crowd.pairs]
    assert abs(float(np.mean(excess))) < 0.05


def test_known_units_and_few_meetings_are_left_out() -> None:
    order, shown = ((0,), (1,)), (0, 1)
    rankings = [RatedRanking(k, u, order, shown) for u in range(4) for k in range(2)]
    layout = lay_out([*rankings, RatedRanking(2, 0, order, shown)], [np.zeros(2)] * 4, 3)
    model = fit_raters(layout, known={2: 3.0})
    (pair,) = shared_answers(layout, model, known=[2])
    assert (pair.first, pair.second, pair.units) == (0, 1, 3)
    assert shared_answers(lay_out(rankings[:4], [np.zeros(2)] * 4, 3), model) == []
    assert colluding([], 3) == []
