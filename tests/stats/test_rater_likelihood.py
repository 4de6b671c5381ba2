"""Likelihood of rankings and its derivatives: by hand, by the slow formula, by differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.stats.rater_worlds import draw, follows
from tutelage.core.errors import DataError
from tutelage.stats.choices import Layout, RatedRanking, choice_curvature, lay_out
from tutelage.stats.plackett_luce import fit_plackett_luce
from tutelage.stats.rater_likelihood import (
    draw_scores,
    evidence,
    expected_curvature,
    likeliest_scores,
    scores_without,
    utilities,
)

THETA = np.array([[1.3, 0.2, -0.4], [0.6, 0.0, 0.5], [-0.5, 0.3, 0.1]])
RANKINGS = [
    RatedRanking(0, 0, ((2,), (0, 1), (3,)), (3, 1, 0, 2)),
    RatedRanking(1, 0, ((0,), (3,)), (0, 1, 2, 3)),
    RatedRanking(2, 1, ((1, 2, 0),), (2, 1, 0)),
    RatedRanking(0, 1, ((1,), (2,), (0,)), (0, 1, 2)),
]
LENGTHS = [np.array([0.3, -1.0, 0.5, 0.2]), np.array([1.0, 0.0, -1.0])]


def small() -> Layout:
    return lay_out(RANKINGS, LENGTHS, 3, [1.0, 0.5, 2.0, 1.0])


def slow_log_likelihood(utility: dict[int, float], groups: tuple[tuple[int, ...], ...]) -> float:
    """Efron's form of Plackett-Luce, choice by choice."""
    total, remaining = 0.0, [i for group in groups for i in group]
    for group in groups:
        for j in range(len(group)):
            everything = sum(math.exp(utility[i]) for i in remaining)
            tied = sum(math.exp(utility[i]) for i in group)
            total += utility[group[j]] - math.log(everything - j / len(group) * tied)
        remaining = [i for i in remaining if i not in group]
    return total


def slow_utility(ranking: RatedRanking, scores: np.ndarray, theta: np.ndarray) -> dict[int, float]:
    sensitivity, place, length = theta[ranking.rater]
    return {
        i: sensitivity * scores[ranking.unit, i]
        - place * ranking.shown.index(i)
        + length * LENGTHS[ranking.unit][i]
        for group in ranking.groups
        for i in group
    }


def test_likelihood_by_the_slow_formula() -> None:
    layout, scores = small(), np.random.default_rng(0).normal(size=(2, 4))
    value, _, _ = choice_curvature(layout.share, layout.real, utilities(layout, THETA, scores))
    slow = [slow_log_likelihood(slow_utility(r, scores, THETA), r.groups) for r in RANKINGS]
    assert value.tolist() == pytest.approx(slow)


def test_the_chances_of_all_orders_sum_to_one() -> None:
    orders = list(itertools.permutations(range(4)))
    rankings = [RatedRanking(0, 0, tuple((i,) for i in o), (0, 1, 2, 3)) for o in orders]
    layout = lay_out(rankings, [LENGTHS[0]], 1)
    value, _, _ = choice_curvature(
        layout.share, layout.real, utilities(layout, THETA, np.array([[0.4, -1.0, 2.0, 0.1]]))
    )
    assert np.exp(value).sum() == pytest.approx(1.0)


def test_gradient_and_hessian_by_differences() -> None:
    layout = small()
    utility = utilities(layout, THETA, np.random.default_rng(1).normal(size=(2, 4)))
    _, gradient, hessian = choice_curvature(layout.share, layout.real, utility)
    for m in range(4):
        step = np.zeros(4)
        step[m] = 1e-5
        up, down = (choice_curvature(layout.share, layout.real, utility + s * step) for s in (1, -1))
        assert gradient[:, m] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-6)
        assert hessian[:, m] == pytest.approx(-(up[1] - down[1]) / 2e-5, abs=1e-6)


def test_likeliest_scores_are_those_of_plackett_luce_with_a_ridge() -> None:
    """One rater of sensitivity 1 and no bias: a normal prior of precision 1 is that ridge."""
    rankings = [
        RatedRanking(0, 0, ((2,), (0, 1), (3,)), (0, 1, 2, 3)),
        RatedRanking(0, 0, ((0,), (3,)), (0, 1, 2, 3)),
    ]
    layout = lay_out(rankings, [np.zeros(4)], 1, [1.0, 2.0])
    found, precision = likeliest_scores(layout, np.array([[1.0, 0, 0]]), 0.0, np.full((1, 4), 3.0))
    fit = fit_plackett_luce([r.groups for r in rankings], 4, [1.0, 2.0], ridge=1.0)
    assert found[0].tolist() == pytest.approx(fit.scores.tolist(), abs=1e-4)
    centre = np.eye(4) - 0.25
    assert centre @ np.linalg.inv(precision[0]) @ centre == pytest.approx(fit.covariance, abs=1e-3)


def test_coefficients_by_differences() -> None:
    """With the scores given, the gradient is that of the log-likelihood, and no information is missing."""
    layout, scores = small(), np.random.default_rng(2).normal(size=(2, 4))
    draws, weights = scores[:, :, None], np.ones((2, 1))

    def log_posterior(theta: np.ndarray) -> float:
        value, _, _ = choice_curvature(layout.share, layout.real, utilities(layout, theta, scores))
        return float(layout.weight @ value - 0.5 * ((theta - [1.0, 0, 0]) ** 2).sum())

    gradient, information, missing = expected_curvature(layout, THETA, draws, weights)
    assert np.abs(missing).max() < 1e-12
    for k, f in itertools.product(range(3), range(3)):
        step = np.zeros_like(THETA)
        step[k, f] = 1e-5
        up, down = THETA + step, THETA - step
        assert gradient[k, f] == pytest.approx((log_posterior(up) - log_posterior(down)) / 2e-5, abs=1e-5)
        change = expected_curvature(layout, up, draws, weights)[0]
        change = change - expected_curvature(layout, down, draws, weights)[0]
        assert information[k, :, f] == pytest.approx(-change[k] / 2e-5, abs=1e-5)


def test_weighted_draws_have_the_posteriors_moments() -> None:
    """Of one sure rater's ranking of two, where the posterior is far from normal: its mean by quadrature."""
    layout = lay_out([RatedRanking(0, 0, ((0,), (1,)), (0, 1))], [np.zeros(2)], 1)
    theta = np.array([[3.0, 0.0, 0.0]])
    mode, precision = likeliest_scores(layout, theta, 0.0, np.zeros((1, 2)))
    noise = np.random.default_rng(0).normal(size=(1, 2, 20_000))
    draws, weights = draw_scores(layout, theta, 0.0, mode, precision, noise)
    # the difference d is N(0, 2) times sigmoid(3 d)
    d = np.linspace(-10, 10, 20_001)
    density = np.exp(-(d**2) / 4) / (1 + np.exp(-3 * d))
    mean = float((d * density).sum() / density.sum())
    drawn = draws[0, 0] - draws[0, 1]
    assert float((weights[0] * drawn).sum()) == pytest.approx(mean, abs=0.03)
    assert weights.sum() == pytest.approx(1.0)
    assert abs(mode[0, 0] - mode[0, 1] - mean) > 0.1  # which the mode misses


def test_scores_without_are_those_of_a_fit_without() -> None:
    world = draw([follows(0.8)] * 4, units=20, overlap=3)
    layout, theta = world.layout, np.tile([0.8, 0.0, 0.0], (4, 1))
    mode, precision = likeliest_scores(layout, theta, 0.0, np.zeros((20, 6)))
    pull, bend = evidence(layout, theta, mode)
    first = np.arange(0, 60, 3)
    mean, spread = scores_without(
        layout, mode, np.linalg.inv(precision), layout.unit[first], pull[first], bend[first]
    )
    kept = [r for n, r in enumerate(world.rankings) if n % 3]
    again = lay_out(kept, world.lengths, 4)
    expected, precision = likeliest_scores(again, theta, 0.0, np.zeros((20, 6)))
    # one Newton step of many, so near and not equal
    assert np.corrcoef(mean.ravel(), expected.ravel())[0, 1] > 0.995
    assert np.diagonal(spread, axis1=1, axis2=2).mean() == pytest.approx(
        np.diagonal(np.linalg.inv(precision), axis1=1, axis2=2).mean(), rel=0.03
    )
    # without all three of a unit only the prior is left, and that to the last digit
    full = np.linalg.inv(likeliest_scores(layout, theta, 0.0, mode)[1])
    mean, spread = scores_without(
        layout, mode, full, np.array([0]), pull[:3].sum(0)[None], bend[:3].sum(0)[None]
    )
    assert mean[0] == pytest.approx(np.zeros(6), abs=2e-3)
    assert spread[0] == pytest.approx(np.eye(6), abs=1e-9)


@pytest.mark.parametrize(
    ("ranking", "said"),
    [
        (RatedRanking(3, 0, ((0,),), (0,)), "not there"),
        (RatedRanking(0, 2, ((0,),), (0,)), "not there"),
        (RatedRanking(0, 0, ((0,), (0,)), (0, 1)), "twice"),
        (RatedRanking(0, 0, ((2,),), (0, 1)), "not shown"),
        (RatedRanking(0, 0, (), (0, 1)), "none"),
        (RatedRanking(0, 1, ((3,),), (3, 1)), "has not"),
    ],
)
def test_what_cannot_be_laid_out(ranking: RatedRanking, said: str) -> None:
    with pytest.raises(DataError, match=said):
        lay_out([ranking], LENGTHS, 3)


def test_there_must_be_rankings_and_a_weight_for_each() -> None:
    with pytest.raises(DataError, match="needs rankings"):
        lay_out([], LENGTHS, 3)
    with pytest.raises(DataError, match="one weight for each"):
        lay_out(RANKINGS, LENGTHS, 3, [1.0])
