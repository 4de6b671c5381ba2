"""Bradley-Terry and Plackett-Luce fits: recovery, closed forms, independent references, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from tutelage.core.errors import DataError
from tutelage.stats.bradley_terry import fit_bradley_terry, wins_matrix
from tutelage.stats.plackett_luce import fit_plackett_luce


def true_scores(num: int) -> np.ndarray:
    scores = np.random.default_rng(3).normal(size=num)
    return scores - scores.mean()


def drawn_wins(scores: np.ndarray, per_pair: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    wins = np.zeros((len(scores), len(scores)))
    for i, j in itertools.combinations(range(len(scores)), 2):
        won = generator.binomial(per_pair, 1 / (1 + math.exp(scores[j] - scores[i])))
        wins[i, j], wins[j, i] = won, per_pair - won
    return wins


def drawn_rankings(scores: np.ndarray, num: int, size: int, seed: int) -> list[list[list[int]]]:
    """Orders of `size` random items: sorting by score plus Gumbel noise draws from Plackett-Luce."""
    generator = np.random.default_rng(seed)
    rankings = []
    for _ in range(num):
        items = generator.choice(len(scores), size=size, replace=False)
        noisy = scores[items] + generator.gumbel(size=size)
        rankings.append([[int(item)] for item in items[np.argsort(-noisy)]])
    return rankings


def test_two_items_by_hand():
    # 3 wins against 1: log odds log 3, so +-log(3) / 2; information 4 * 3/4 * 1/4 = 3/4, its inverse
    # 4/3 is the variance of the difference, and of each centred score a quarter of it, 1/3
    fit = fit_bradley_terry([[0, 3], [1, 0]])
    assert fit.scores.tolist() == pytest.approx([math.log(3) / 2, -math.log(3) / 2])
    assert fit.standard_errors.tolist() == pytest.approx([math.sqrt(1 / 3)] * 2)
    assert fit.standard_error_of_difference(0, 1) == pytest.approx(math.sqrt(4 / 3))
    assert fit.probability(0, 1) == pytest.approx(0.75)
    assert fit.log_likelihood == pytest.approx(3 * math.log(0.75) + math.log(0.25))


def test_wins_matrix_by_hand():
    # 2 * 1 for (0, 1); a tie of weight 1; 0.75 of (1, 0)
    wins = wins_matrix([(0, 1, 1.0, 2.0), (0, 1, 0.5, 1.0), (1, 0, 0.75, 1.0)], 2)
    assert wins.tolist() == [[0.0, 2.75], [1.25, 0.0]]
    with pytest.raises(DataError, match="two different ones"):
        wins_matrix([(1, 1, 1.0, 1.0)], 2)
    with pytest.raises(DataError, match="two different ones"):
        wins_matrix([(0, 2, 1.0, 1.0)], 2)


def test_bradley_terry_recovers_known_scores():
    truth = true_scores(20)
    fit = fit_bradley_terry(drawn_wins(truth, 400, seed=1))
    assert spearmanr(fit.scores, truth).statistic > 0.99
    assert fit.scores.mean() == pytest.approx(0.0, abs=1e-12)
    # errors are as large as the standard errors say: 20 standardised ones have a mean square near 1
    standardised = (fit.scores - truth) / fit.standard_errors
    assert 0.4 < (standardised**2).mean() < 1.8


def test_standard_errors_are_the_spread_over_repetitions():
    truth = true_scores(5)
    fits = [fit_bradley_terry(drawn_wins(truth, 60, seed)) for seed in range(300)]
    spread = np.std([fit.scores for fit in fits], axis=0)
    claimed = np.mean([fit.standard_errors for fit in fits], axis=0)
    assert np.abs(claimed / spread - 1).max() < 0.15
    difference = np.std([fit.scores[0] - fit.scores[1] for fit in fits])
    claimed_difference = np.mean([fit.standard_error_of_difference(0, 1) for fit in fits])
    assert abs(claimed_difference / difference - 1) < 0.15


@pytest.mark.parametrize("ridge", [0.3, 5.0])
def test_a_ridge_is_that_of_logistic_regression(ridge: float):
    """Bradley-Terry is a logistic regression on the difference of indicators, without intercept."""
    wins = drawn_wins(true_scores(6), 7, seed=2)
    pairs = [(i, j) for i, j in itertools.permutations(range(6), 2) if wins[i, j]]
    design = np.zeros((len(pairs), 6))
    for row, (i, j) in enumerate(pairs):
        design[row, i], design[row, j] = 1.0, -1.0
    weights = np.array([wins[i, j] for i, j in pairs])
    # scikit-learn wants both classes: each row is also told the other way round
    model = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-12, max_iter=10_000)
    model.fit(
        np.concatenate([design, -design]),
        np.repeat([1, 0], len(pairs)),
        np.concatenate([weights, weights]) / 2,
    )
    fit = fit_bradley_terry(wins, ridge=ridge)
    assert fit.scores.tolist() == pytest.approx(model.coef_[0].tolist(), abs=1e-5)


def test_a_ridge_answers_where_likelihood_cannot_and_shrinks():
    never_lost = [[0, 5, 5], [0, 0, 3], [0, 2, 0]]
    with pytest.raises(DataError, match="never lost"):
        fit_bradley_terry(never_lost)
    apart = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    with pytest.raises(DataError, match="items 0 and 2 are not connected"):
        fit_bradley_terry(apart)
    weak, strong = (fit_bradley_terry(never_lost, ridge=r).scores for r in (0.01, 1.0))
    assert weak[0] > strong[0] > 0
    assert fit_bradley_terry(apart, ridge=1.0).scores.tolist() == pytest.approx([0.0] * 4)
    # a prior alone: centred scores of K items have variance (1 - 1 / K) / ridge
    alone = fit_bradley_terry(np.zeros((4, 4)), ridge=2.0)
    assert alone.standard_errors.tolist() == pytest.approx([math.sqrt(0.75 / 2)] * 4)


@pytest.mark.parametrize("wins", [[[0, 1, 2]], [[0, -1], [1, 0]], [[0, float("nan")], [1, 0]]])
def test_wins_that_are_none_are_refused(wins: list[list[float]]):
    with pytest.raises(DataError, match="square matrix"):
        fit_bradley_terry(wins)


def test_bradley_terry_ignores_the_order_of_items_and_follows_weights():
    wins = drawn_wins(true_scores(6), 9, seed=4)
    fit = fit_bradley_terry(wins)
    order = np.array([3, 1, 5, 0, 4, 2])
    moved = fit_bradley_terry(wins[np.ix_(order, order)])
    assert moved.scores.tolist() == pytest.approx(fit.scores[order].tolist(), abs=1e-9)
    # four times the data: the same scores, half the standard errors
    more = fit_bradley_terry(4 * wins)
    assert more.scores.tolist() == pytest.approx(fit.scores.tolist(), abs=1e-9)
    assert more.standard_errors.tolist() == pytest.approx((fit.standard_errors / 2).tolist())
    # all results turned round: all scores turned round
    assert fit_bradley_terry(wins.T).scores.tolist() == pytest.approx((-fit.scores).tolist(), abs=1e-9)


def test_bradley_terry_settles_far_from_zero():
    # a chain of lopsided results: scores a log(9999) apart, 46 from end to end
    wins = np.zeros((6, 6))
    for i in range(5):
        wins[i, i + 1], wins[i + 1, i] = 9999, 1
    fit = fit_bradley_terry(wins)
    assert np.diff(fit.scores).tolist() == pytest.approx([-math.log(9999)] * 5, abs=1e-6)


OVERSHOOTING = [
    [
        [0, 118, 1, 501, 184],
        [70, 0, 9937, 29, 184],
        [79, 12, 0, 249, 8],
        [3291, 1, 26392, 0, 476],
        [44, 1, 60, 90297, 0],
    ],
    [[0, 2845, 0, 0, 0], [33, 0, 0, 3, 3], [0, 0, 0, 22070, 13], [8108, 9, 438, 0, 0], [0, 0, 1, 0, 0]],
]
"""Found by search: with full Newton steps the fit goes astray, on the second for good."""


@pytest.mark.parametrize("table", OVERSHOOTING)
def test_bradley_terry_settles_where_a_full_newton_step_overshoots(table: list[list[int]]):
    wins = np.array(table)
    scores = fit_bradley_terry(wins, ridge=0.1).scores
    # where the log-posterior is greatest, wins equal what is expected plus the pull of the ridge
    expected = (wins + wins.T) / (1 + np.exp(scores[None, :] - scores[:, None]))
    assert np.abs((wins - expected).sum(axis=1) - 0.1 * scores).max() < 1e-6


def test_data_that_say_next_to_nothing_are_refused():
    with pytest.raises(DataError, match="undetermined"):
        fit_bradley_terry([[0, 1e-200], [1e-250, 0]])


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_plackett_luce_of_pairs_is_bradley_terry(ridge: float):
    """Two algorithms, MM and Newton, on the same data."""
    wins = drawn_wins(true_scores(5), 20, seed=5)
    pairs = [(i, j) for i, j in itertools.permutations(range(5), 2) if wins[i, j]]
    fit = fit_plackett_luce([[[i], [j]] for i, j in pairs], 5, [wins[i, j] for i, j in pairs], ridge)
    expected = fit_bradley_terry(wins, ridge)
    assert fit.scores.tolist() == pytest.approx(expected.scores.tolist(), abs=1e-7)
    assert fit.covariance.flatten().tolist() == pytest.approx(
        expected.covariance.flatten().tolist(), abs=1e-7
    )
    assert fit.log_likelihood == pytest.approx(expected.log_likelihood)


def test_plackett_luce_recovers_known_scores_from_partial_rankings():
    truth = true_scores(20)
    fit = fit_plackett_luce(drawn_rankings(truth, 8000, 6, seed=6), 20)
    assert spearmanr(fit.scores, truth).statistic > 0.99
    assert fit.scores.mean() == pytest.approx(0.0, abs=1e-12)
    standardised = (fit.scores - truth) / fit.standard_errors
    assert 0.4 < (standardised**2).mean() < 1.8


def slow_negative_log_likelihood(scores: np.ndarray, rankings: list, weights: list[float]) -> float:
    """Efron's likelihood straight from its definition."""
    total = 0.0
    for ranking, weight in zip(rankings, weights, strict=True):
        for place, group in enumerate(ranking):
            remaining = sum(math.exp(scores[i]) for later in ranking[place:] for i in later)
            tied = sum(math.exp(scores[i]) for i in group)
            for j, item in enumerate(group):
                total += weight * (math.log(remaining - j / len(group) * tied) - scores[item])
    return total


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_plackett_luce_with_ties_against_a_general_optimiser(ridge: float):
    generator = np.random.default_rng(7)
    rankings = []
    for ranking in drawn_rankings(true_scores(6), 40, 4, seed=8):
        at = int(generator.integers(3))
        rankings.append([*ranking[:at], ranking[at] + ranking[at + 1], *ranking[at + 2 :]])
    weights = generator.uniform(0.5, 2.0, size=40).tolist()

    def goal(free: np.ndarray) -> float:
        scores = np.append(free, -free.sum())
        return slow_negative_log_likelihood(scores, rankings, weights) + ridge / 2 * (scores**2).sum()

    slow = minimize(goal, np.zeros(5), method="BFGS", options={"gtol": 1e-7})
    fit = fit_plackett_luce(rankings, 6, weights, ridge)
    assert fit.scores[:5].tolist() == pytest.approx(slow.x.tolist(), abs=1e-4)
    # the slow likelihood keeps the choice of a last item tied with nobody, log 1 = 0, so they are equal
    assert -fit.log_likelihood == pytest.approx(
        slow_negative_log_likelihood(fit.scores, rankings, weights), abs=1e-9
    )
    # curvature by finite differences of the slow goal, in the free coordinates
    h = 1e-3
    steps = np.eye(5) * h
    at = fit.scores[:5]
    hessian = np.array(
        [
            [
                (goal(at + a + b) - goal(at + a - b) - goal(at - a + b) + goal(at - a - b)) / (4 * h * h)
                for b in steps
            ]
            for a in steps
        ]
    )
    expected = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert fit.standard_errors[:5].tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_plackett_luce_by_hand():
    # two items, 3 to 1, and a tie: with x = p(first), -log lik = -3 log x - log(1-x) - log x - log(1-x) + c,
    # so x = 4 / 6 and the difference is log 2
    rankings = [[[0], [1]]] * 3 + [[[1], [0]], [[0, 1]]]
    fit = fit_plackett_luce(rankings, 2)
    assert fit.scores[0] - fit.scores[1] == pytest.approx(math.log(2), abs=1e-7)


def test_plackett_luce_ignores_the_unranked_and_the_single():
    rankings = drawn_rankings(true_scores(5), 60, 3, seed=9)
    fit = fit_plackett_luce(rankings, 5)
    more = fit_plackett_luce([*rankings, [[2]], []], 5)
    assert more.scores.tolist() == pytest.approx(fit.scores.tolist(), abs=1e-9)
    # with a ridge an item that was never ranked stands at the mean of the prior
    wider = fit_plackett_luce(rankings, 6, ridge=1.0)
    assert wider.scores[5] == pytest.approx(-wider.scores[:5].sum(), abs=1e-9)
    assert wider.standard_errors[5] > wider.standard_errors[:5].max()


def test_plackett_luce_refuses_what_has_no_answer():
    with pytest.raises(DataError, match="never lost"):
        fit_plackett_luce([[[0], [1], [2]], [[0], [2], [1]]], 3)
    with pytest.raises(DataError, match="items 0 and 2 are not connected"):
        fit_plackett_luce([[[0, 1]], [[2, 3]]], 4)
    # a comparison of weight 0 connects nothing
    with pytest.raises(DataError, match="not connected"):
        fit_plackett_luce([[[0, 1]], [[1, 2]]], 3, [1.0, 0.0])
    with pytest.raises(DataError, match="one weight"):
        fit_plackett_luce([[[0, 1]]], 2, [1.0, 2.0])
    for wrong in ([[0], [0]], [[0], [7]], [[0], [-1]]):
        with pytest.raises(DataError, match="ranking 0"):
            fit_plackett_luce([wrong], 3)
    assert fit_plackett_luce([[[0], [1], [2]]], 3, ridge=1.0).scores[0] > 0
