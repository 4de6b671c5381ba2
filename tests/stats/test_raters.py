"""The model of raters: what was put in comes out, and what should not matter does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.stats.rater_worlds import World, draw, follows
from tutelage.stats.choices import lay_out
from tutelage.stats.crowd import fit_crowd
from tutelage.stats.raters import RaterModel, first_look, fit_raters
from tutelage.stats.reliability import (
    below,
    length_biases,
    place_biases,
    reliabilities,
)

SENSITIVITIES = [0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 0.0]
RATERS = [follows(a) for a in SENSITIVITIES] + [follows(0.2, place=1.0), follows(0.5, length=1.2)]


@pytest.fixture(scope="module")
def world() -> World:
    return draw(RATERS, units=400, overlap=4, slope=0.3)


@pytest.fixture(scope="module")
def model(world: World) -> RaterModel:
    return fit_raters(world.layout)


def test_coefficients_come_back(world: World, model: RaterModel) -> None:
    true = np.array([[a, 0.0, 0.0] for a in SENSITIVITIES] + [[0.2, 1.0, 0.0], [0.5, 0.0, 1.2]])
    error = np.sqrt(np.diagonal(model.covariance, axis1=1, axis2=2))
    assert error[:, 1:].max() < 0.1
    off = (model.coefficients - true)[:, [0, 1]] / error[:, [0, 1]]
    assert np.abs(off).max() < 4.0 and np.sqrt((off**2).mean()) < 1.5
    # lengths are told less what all share, so an honest rater's is a little below 0
    assert model.coefficients[9, 2] - model.coefficients[:7, 2].mean() == pytest.approx(1.2, abs=0.25)
    assert model.length_slope == pytest.approx(0.3, abs=0.15)


def test_scores_come_back_as_well_as_their_spread_says(world: World, model: RaterModel) -> None:
    off = model.scores - np.array(world.scores)
    said = np.diagonal(model.spread, axis1=1, axis2=2).mean()
    assert float((off**2).mean()) == pytest.approx(said, rel=0.15)


def test_who_is_who_and_in_what_order_does_not_matter(world: World, model: RaterModel) -> None:
    swapped = [replace(r, rater=9 - r.rater) for r in reversed(world.rankings)]
    again = fit_raters(lay_out(swapped, world.lengths, 10))
    assert again.coefficients[::-1] == pytest.approx(model.coefficients, abs=0.02)


def test_two_halves_of_a_voice_are_one(world: World, model: RaterModel) -> None:
    twice = [copy for r in world.rankings for copy in (r, r)]
    again = fit_raters(lay_out(twice, world.lengths, 10, [0.5] * len(twice)))
    assert again.coefficients == pytest.approx(model.coefficients, abs=0.02)


def test_where_it_sets_out_does_not_matter(world: World, model: RaterModel) -> None:
    far = replace(first_look(world.layout), coefficients=np.tile([0.5, 0.0, 0.0], (10, 1)))
    assert fit_raters(world.layout, start=far).coefficients == pytest.approx(model.coefficients, abs=0.03)


def test_who_ranks_upside_down_is_told_from_who_guesses() -> None:
    world = draw([*[follows(1.0)] * 5, follows(-1.0), follows(0.0)], units=150)
    crowd = fit_crowd(world.layout)
    found = reliabilities(crowd.layout, crowd.model)
    assert found[5].high < 0.4
    assert found[6].low < 0.5 < found[6].high
    assert below(found[5], 0.5) < 1e-6 and below(found[6], 0.5) > 0.01


def test_reliabilities_and_biases_are_shares_of_pairs(world: World, model: RaterModel) -> None:
    found = reliabilities(world.layout, model)
    apart = np.abs(np.random.default_rng(0).normal(scale=np.sqrt(2), size=200_000))
    true = [float((1 / (1 + np.exp(-a * apart))).mean()) for a in SENSITIVITIES]
    assert [f.value for f in found[:8]] == pytest.approx(true, abs=0.05)
    assert sum(f.low <= t <= f.high for f, t in zip(found[:8], true, strict=True)) >= 6
    counts = np.bincount([r.rater for r in world.rankings]).tolist()
    assert [f.n for f in found] == counts
    early, longer = place_biases(world.layout, model), length_biases(world.layout, model)
    # places of two of six lie 1 to 5 apart: mean of sigmoid(d) over the 15 pairs, less 1/2
    expected = sum((6 - d) / (1 + np.exp(-d)) for d in range(1, 6)) / 15 - 0.5
    assert early[8].share.value == pytest.approx(expected, abs=0.03)
    assert early[8].p_value < 1e-6 and longer[9].p_value < 1e-6
    assert min(b.p_value for b in early[:8]) > 0.01 and min(b.p_value for b in longer[:8]) > 0.01


def test_reliability_of_who_guesses_half_the_time() -> None:
    def half(score, longer, shown_at, generator):  # type: ignore[no-untyped-def]
        honest = generator.random() < 0.5
        return (2.0 * score if honest else 0.0) + generator.gumbel(size=len(score))

    world = draw([*[follows(1.0)] * 5, *[half] * 3], units=500)
    model = fit_raters(world.layout)
    apart = np.abs(np.random.default_rng(0).normal(scale=np.sqrt(2), size=200_000))
    true = 0.25 + 0.5 * float((1 / (1 + np.exp(-2.0 * apart))).mean())
    found = [f.value for f in reliabilities(world.layout, model)[5:]]
    assert np.mean(found) == pytest.approx(true, abs=0.04)


def test_gold_answers_hold_the_truth_where_most_are_wrong() -> None:
    """Five of seven rank upside down: without gold they are the truth, with it on a third of the units they are not."""
    world = draw([*[follows(-1.5)] * 5, *[follows(1.5)] * 2], units=150)
    alone = fit_raters(world.layout).coefficients
    assert alone[:5].max(axis=0)[0] > 0 > alone[5:, 0].max()
    order = [np.argsort(-s) for s in world.scores]
    gold = [
        replace(r, rater=7, unit=u, groups=tuple((int(i),) for i in order[u]))
        for u, r in zip(range(50), world.rankings[::4], strict=False)
    ]
    layout = lay_out([*world.rankings, *gold], world.lengths, 8)
    held = fit_raters(layout, known={7: 3.0}).coefficients
    assert held[7].tolist() == [3.0, 0.0, 0.0]
    assert held[:5, 0].max() < 0 < held[5:7, 0].min()


def test_few_rankings_leave_a_rater_near_the_middle_with_a_wide_interval() -> None:
    world = draw([follows(1.0)] * 6, units=60)
    kept = [r for n, r in enumerate(world.rankings) if r.rater or n < 8]
    model = fit_raters(lay_out(kept, world.lengths, 6))
    found = reliabilities(lay_out(kept, world.lengths, 6), model)
    assert found[0].n <= 2
    assert found[0].high - found[0].low > 2 * (found[1].high - found[1].low)
    assert 0.5 < found[0].value < 0.9


def test_a_rater_alone_is_no_error() -> None:
    model = fit_raters(draw([follows(1.0)], units=5, overlap=1).layout)
    assert np.isfinite(model.coefficients).all()


def test_reliabilities_order_raters_who_are_not_what_the_model_says() -> None:
    def noisy(deviation: float, guesses: float):  # type: ignore[no-untyped-def]
        def utility(score, longer, shown_at, generator):  # type: ignore[no-untyped-def]
            honest = generator.random() > guesses
            return honest * score + deviation * generator.normal(size=len(score))

        return utility

    generator = np.random.default_rng(0)
    kinds = [
        (float(d), float(g))
        for d, g in zip(generator.uniform(0.3, 1.5, 12), generator.uniform(0, 0.8, 12), strict=True)
    ]
    world = draw([noisy(d, g) for d, g in kinds], units=600)
    model = fit_raters(world.layout)
    score = generator.normal(size=(20_000, 2))
    true = []
    for deviation, guesses in kinds:
        seen = score + deviation * generator.normal(size=score.shape)
        right = ((seen[:, 0] > seen[:, 1]) == (score[:, 0] > score[:, 1])).mean()
        true.append((1 - guesses) * right + guesses / 2)
    found = [f.value for f in reliabilities(world.layout, model)]
    assert spearmanr(true, found).statistic > 0.95
