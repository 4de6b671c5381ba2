"""Aggregates of an ensemble and the Lagrangian: by hand, closed forms, gradients, and a saddle point found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tutelage.core.errors import TrainingError
from tutelage.objectives.constraints import LagrangeMultiplier, constrained_reward
from tutelage.objectives.ensemble import (
    mean_score,
    quantile_score,
    variance_penalised_score,
    worst_case_score,
)

# Three members on two responses.
SCORES = torch.tensor([[1.0, -2.0], [3.0, 0.0], [2.0, 5.0]], dtype=torch.float64)
RULES = {
    "mean": mean_score,
    "worst": worst_case_score,
    "variance": lambda s: variance_penalised_score(s, 0.5),
    "quantile": lambda s: quantile_score(s, 0.25),
}


def test_aggregates_by_hand():
    assert mean_score(SCORES).tolist() == [2.0, 1.0]
    assert worst_case_score(SCORES).tolist() == [1.0, -2.0]
    # variances: (1 + 1 + 0) / 3 and (9 + 1 + 16) / 3; 2 - 0.5 * 2 / 3 and 1 - 0.5 * 26 / 3
    assert variance_penalised_score(SCORES, 0.5).tolist() == pytest.approx([2 - 1 / 3, 1 - 13 / 3])
    # a quarter of the way over two gaps: half of the first: 1.5 and -1
    assert quantile_score(SCORES, 0.25).tolist() == pytest.approx([1.5, -1.0])


def test_quantiles_against_numpy_and_their_ends():
    scores = torch.randn(7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for q in (0.0, 0.1, 0.37, 0.5, 1.0):
        expected = np.quantile(scores.numpy(), q, axis=0)
        assert quantile_score(scores, q).numpy() == pytest.approx(expected)
    assert torch.equal(quantile_score(scores, 0.0), worst_case_score(scores))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_aggregates_of_one_member_of_equals_and_of_any_order(rule):
    assert torch.equal(rule(SCORES[:1]), SCORES[0])
    assert rule(SCORES[:1].expand(4, -1)).tolist() == pytest.approx(SCORES[0].tolist())
    assert rule(SCORES.flip(0)).tolist() == pytest.approx(rule(SCORES).tolist())
    # one constant on all members moves the result by as much
    assert rule(SCORES + 3).tolist() == pytest.approx((rule(SCORES) + 3).tolist())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_aggregates_have_the_right_gradient(rule):
    assert torch.autograd.gradcheck(rule, (SCORES.clone().requires_grad_(),))


def test_careful_rules_never_exceed_the_mean():
    scores = torch.randn(5, 50, generator=torch.Generator().manual_seed(1))
    for careful in (worst_case_score(scores), variance_penalised_score(scores, 1.0)):
        assert (careful <= mean_score(scores)).all()


def test_constrained_reward_by_hand():
    reward, cost = torch.tensor([3.0, 0.0]), torch.tensor([1.0, -2.0])
    assert torch.equal(constrained_reward(reward, cost, 0.0), reward)
    # (3 - 2 * 1) / 3, (0 + 2 * 2) / 3
    assert constrained_reward(reward, cost, 2.0).tolist() == pytest.approx([1 / 3, 4 / 3])


def test_multiplier_by_hand():
    one = LagrangeMultiplier(multiplier=2.0, limit=0.5, rate=0.1)
    one.update(1.5)  # log 2 + 0.1 * 2 * 1
    assert one.multiplier == pytest.approx(2 * math.exp(0.2))
    one = LagrangeMultiplier(multiplier=2.0, limit=0.5, rate=0.1)
    one.update(-0.5)
    assert one.multiplier == pytest.approx(2 * math.exp(-0.2))
    one.update(0.5)  # on the limit nothing moves
    assert one.multiplier == pytest.approx(2 * math.exp(-0.2))
    one.update(1e9)
    assert one.multiplier == pytest.approx(10.0)
    assert LagrangeMultiplier.from_state(one.state()) == one
    with pytest.raises(TrainingError, match="mean cost"):
        one.update(math.nan)


def test_multiplier_finds_the_saddle_point():
    """r = 2x - x^2, c = x, c at most 1/2. Best x = 1/2; there r' = 1 = lambda c', so lambda = 1.

    For given lambda the best x is (2 - lambda) / 2.
    """
    one = LagrangeMultiplier(multiplier=0.2, limit=0.5, rate=0.5)
    for _ in range(200):
        one.update((2 - one.multiplier) / 2)
    assert one.multiplier == pytest.approx(1.0, abs=1e-6)
    x = torch.tensor(0.5, requires_grad=True)
    constrained_reward(2 * x - x**2, x, one.multiplier).backward()
    assert x.grad.item() == pytest.approx(0.0, abs=1e-6)
