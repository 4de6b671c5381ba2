"""Rewards a token and advantages: by hand, against a slow reference, and on a tree with known values."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from tutelage.objectives.gae import gae
from tutelage.objectives.kl import kl_k1
from tutelage.objectives.shaping import shape_rewards


def right_padded(lengths: list[int], width: int) -> torch.Tensor:
    return torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]


def test_rewards_by_hand():
    response_mask = right_padded([3, 1, 0], 3)
    kl = torch.tensor([[0.5, -0.2, 1.0], [2.0, math.nan, 9.0], [9.0, 9.0, 9.0]])
    scores = torch.tensor([4.0, 3.0, 5.0])
    finished = torch.tensor([True, False, True])
    rewards = shape_rewards(scores, kl, response_mask, finished, kl_coefficient=0.1, no_end_penalty=1.0)
    # row 0: -0.1 * 0.5, +0.1 * 0.2, 4 - 0.1 * 1; row 1 unfinished: 3 - 1 - 0.1 * 2; row 2 has no token
    expected = torch.tensor([[-0.05, 0.02, 3.9], [1.8, 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(rewards, expected)


def test_rewards_of_a_response_do_not_depend_on_padding():
    kl, scores, finished = torch.randn(1, 3), torch.randn(1), torch.tensor([True])
    short = shape_rewards(scores, kl, right_padded([3], 3), finished, 0.2, 1.0)
    wide_kl = torch.cat([kl, torch.full((1, 4), math.inf)], dim=1)
    wide = shape_rewards(scores, wide_kl, right_padded([3], 7), finished, 0.2, 1.0)
    assert torch.equal(wide, torch.cat([short, torch.zeros(1, 4)], dim=1))


def test_one_step_is_the_td_error():
    # one token: advantage = reward - value, and the return is the reward itself
    rewards, values = torch.tensor([[2.5]]), torch.tensor([[0.75]])
    out = gae(rewards, values, torch.tensor([[True]]), gamma=0.9, lam=0.8)
    assert out.advantages.item() == pytest.approx(1.75)
    assert out.returns.item() == pytest.approx(2.5)


def test_lambda_zero_is_the_td_error_everywhere():
    rewards, values = torch.randn(2, 4), torch.randn(2, 4)
    response_mask = right_padded([4, 2], 4)
    out = gae(rewards, values, response_mask, gamma=0.9, lam=0.0)
    # r + 0.9 v' - v, with v' = 0 after the last token
    assert out.advantages[0, 1].item() == pytest.approx(
        (rewards[0, 1] + 0.9 * values[0, 2] - values[0, 1]).item(), abs=1e-6
    )
    assert out.advantages[1, 1].item() == pytest.approx((rewards[1, 1] - values[1, 1]).item(), abs=1e-6)


def test_lambda_one_returns_are_discounted_sums():
    # rewards 1, 2, 4 with gamma 0.5: 1 + 1 + 1 = 3, 2 + 2 = 4, 4; whatever the values say
    rewards, values = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[7.0, -3.0, 2.0]])
    out = gae(rewards, values, right_padded([3], 3), gamma=0.5, lam=1.0)
    torch.testing.assert_close(out.returns, torch.tensor([[3.0, 4.0, 4.0]]))
    torch.testing.assert_close(out.advantages, torch.tensor([[-4.0, 7.0, 2.0]]))


def slow_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Schulman et al. 2016, eqs. 11 to 16: the exponentially weighted mean of all k-step advantages."""
    num = len(rewards)
    bounded = [*values, 0.0]
    advantages: list[float] = []
    for t in range(num):
        horizon = num - t
        k_step = [
            sum(gamma**i * rewards[t + i] for i in range(k)) + gamma**k * bounded[t + k] - values[t]
            for k in range(1, horizon + 1)
        ]
        weights = [(1 - lam) * lam ** (k - 1) for k in range(1, horizon)] + [lam ** (horizon - 1)]
        advantages.append(sum(w * a for w, a in zip(weights, k_step, strict=True)))
    return advantages


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.7), (0.99, 1.0), (0.8, 0.0)])
def test_against_a_slow_reference(gamma: float, lam: float):
    generator = torch.Generator().manual_seed(7)
    lengths = [6, 1, 4, 0]
    rewards = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    values = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    response_mask = right_padded(lengths, 6)
    # whatever stands in the padding must not matter
    out = gae(
        rewards.masked_fill(~response_mask, math.nan),
        values.masked_fill(~response_mask, math.inf),
        response_mask,
        gamma,
        lam,
    )
    for b, length in enumerate(lengths):
        expected = slow_gae(rewards[b, :length].tolist(), values[b, :length].tolist(), gamma, lam)
        assert out.advantages[b, :length].tolist() == pytest.approx(expected, abs=1e-12)
        assert out.advantages[b, length:].abs().sum().item() == 0.0
        assert out.returns[b, length:].abs().sum().item() == 0.0
        returns = [a + v for a, v in zip(expected, values[b, :length].tolist(), strict=True)]
        assert out.returns[b, :length].tolist() == pytest.approx(returns, abs=1e-12)


def test_advantages_are_constants():
    values = torch.randn(1, 3, requires_grad=True)
    out = gae(torch.randn(1, 3), values, right_padded([3], 3), 1.0, 0.95)
    assert not out.advantages.requires_grad
    assert not out.returns.requires_grad


def test_at_the_known_optimum_every_advantage_is_zero():
    """On a tree of 3 tokens out of 4, pi* ~ pi_ref exp(score / beta) with its soft values is a fixed point.

    V(s) = beta log sum_a pi_ref(a|s) exp(V(sa) / beta), pi*(a|s) = pi_ref(a|s) exp((V(sa) - V(s)) / beta),
    so reward + V(next) - V(s) = -beta (V(sa) - V(s)) / beta + V(sa) - V(s) = 0 for each token.
    """
    beta, vocabulary, depth = 0.3, 4, 3
    generator = torch.Generator().manual_seed(11)
    scores = torch.randn((vocabulary,) * depth, generator=generator, dtype=torch.float64)
    references = [
        torch.log_softmax(
            torch.randn((vocabulary,) * (d + 1), generator=generator, dtype=torch.float64), dim=-1
        )
        for d in range(depth)
    ]
    soft_values = [scores]
    for reference in reversed(references):
        soft_values.insert(0, beta * torch.logsumexp(reference + soft_values[0] / beta, dim=-1))
    optimum = [
        reference + (after - before[..., None]) / beta
        for reference, before, after in zip(references, soft_values[:-1], soft_values[1:], strict=True)
    ]
    for policy in optimum:
        torch.testing.assert_close(policy.exp().sum(-1), torch.ones_like(policy.exp().sum(-1)))

    paths = list(itertools.product(range(vocabulary), repeat=depth))

    def at(tables: list[torch.Tensor], upto: int) -> torch.Tensor:
        return torch.stack(
            [torch.stack([tables[d][path[: d + upto]] for d in range(depth)]) for path in paths]
        )

    response_mask = torch.ones(len(paths), depth, dtype=torch.bool)
    finished = torch.ones(len(paths), dtype=torch.bool)

    def advantages(policy: list[torch.Tensor]) -> torch.Tensor:
        kl = kl_k1(at(policy, 1), at(references, 1))
        rewards = shape_rewards(scores.flatten(), kl, response_mask, finished, beta, no_end_penalty=1.0)
        return gae(rewards, at(soft_values, 0), response_mask, gamma=1.0, lam=0.95).advantages

    assert advantages(optimum).abs().max().item() < 1e-12
    assert advantages(references).abs().max().item() > 0.1
