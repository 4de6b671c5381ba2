"""PPO's loss: by hand, closed forms, masks, micro-batches, and the known optimum."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.objectives.policy import ppo_policy_loss, truncated_importance_weights

RESPONSE_MASK = torch.tensor([[True, True, True, False], [True, True, False, False]])


def batch(seed: int, scale: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    old = -torch.rand(2, 4, generator=generator, dtype=torch.float64)
    new = old + scale * torch.randn(2, 4, generator=generator, dtype=torch.float64)
    return new, old, torch.randn(2, 4, generator=generator, dtype=torch.float64)


def test_by_hand():
    old = torch.zeros(1, 4)
    new = torch.log(torch.tensor([[1.5, 1.5, 0.5, 0.5]]))
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    out = ppo_policy_loss(new, old, advantages, torch.ones(1, 4, dtype=torch.bool), clip=0.2)
    # A = 1, rho = 1.5: max(-1.5, -1.2) = -1.2 (clipped)    A = -1, rho = 1.5: max(1.5, 1.2) = 1.5
    # A = 1, rho = 0.5: max(-0.5, -0.8) = -0.5              A = -1, rho = 0.5: max(0.5, 0.8) = 0.8 (clipped)
    # mean (-1.2 + 1.5 - 0.5 + 0.8) / 4 = 0.15
    assert out.loss.item() == pytest.approx(0.15)
    assert out.clip_fraction.item() == pytest.approx(0.5)
    assert out.ratio_mean.item() == pytest.approx(1.0)
    assert out.ratio_max.item() == pytest.approx(1.5)
    assert out.ratio_min.item() == pytest.approx(0.5)
    # k3 = rho - 1 - log rho: 0.5 - log 1.5 = 0.094535 and -0.5 - log 0.5 = 0.193147; their mean 0.143841
    assert out.approx_kl.item() == pytest.approx(0.143841, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "clipped"), [(1.5, 1, 1), (1.5, -1, 0), (0.5, 1, 0), (0.5, -1, 1)]
)
def test_clip_fraction_counts_tokens_that_would_move_on_in_a_direction_already_taken(
    ratio: float, advantage: float, clipped: float
):
    new, sign = torch.tensor([[math.log(ratio)]]), torch.tensor([[float(advantage)]])
    out = ppo_policy_loss(new, torch.zeros(1, 1), sign, torch.ones(1, 1, dtype=torch.bool), 0.2)
    assert out.clip_fraction.item() == clipped


def test_importance_weights_scale_their_tokens():
    # ratio 1: -(2 * 3 + 0.5 * -1) / 2 = -2.75
    zeros, advantages = torch.zeros(1, 2), torch.tensor([[3.0, -1.0]])
    out = ppo_policy_loss(
        zeros, zeros, advantages, torch.ones(1, 2, dtype=torch.bool), 0.2, torch.tensor([[2.0, 0.5]])
    )
    assert out.loss.item() == pytest.approx(-2.75)


def test_ratio_one_is_minus_the_mean_advantage():
    new, _, advantages = batch(1)
    new.requires_grad_()
    out = ppo_policy_loss(new, new.detach(), advantages, RESPONSE_MASK, 0.2)
    assert out.loss.item() == pytest.approx(-advantages[RESPONSE_MASK].mean().item(), abs=1e-12)
    assert out.clip_fraction.item() == 0.0
    assert out.approx_kl.item() == 0.0
    # and the gradient is that of REINFORCE: -A / n a token
    (gradient,) = torch.autograd.grad(out.loss, new)
    torch.testing.assert_close(gradient[RESPONSE_MASK], -advantages[RESPONSE_MASK] / 5)


def test_clipping_takes_the_gradient_of_its_tokens_only():
    new = torch.log(torch.tensor([[1.5, 1.5, 0.5, 0.5]])).requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    out = ppo_policy_loss(new, torch.zeros(1, 4), advantages, torch.ones(1, 4, dtype=torch.bool), 0.2)
    (gradient,) = torch.autograd.grad(out.loss, new)
    # -A rho / 4 where the clip is not active: 1.5 / 4 and -0.5 / 4
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.375, -0.125, 0.0]]))


def test_gradcheck_away_from_the_kinks():
    new, old, advantages = batch(2, scale=0.05)
    new.requires_grad_()
    weights = torch.rand(2, 4, dtype=torch.float64) + 0.5
    assert torch.autograd.gradcheck(
        lambda lp: ppo_policy_loss(lp, old, advantages, RESPONSE_MASK, 0.2, weights).loss, new
    )


@pytest.mark.parametrize("rubbish", [float("nan"), float("-inf"), 1e9])
def test_nothing_outside_the_mask_counts(rubbish: float):
    new, old, advantages = batch(3)
    clean = ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2)
    dirty = [torch.where(RESPONSE_MASK, t, rubbish) for t in (new, old, advantages)]
    dirty[0].requires_grad_()
    out = ppo_policy_loss(dirty[0], dirty[1], dirty[2], RESPONSE_MASK, 0.2, dirty[2].abs())
    (gradient,) = torch.autograd.grad(out.loss, dirty[0])
    assert torch.equal(gradient[~RESPONSE_MASK], torch.zeros(3, dtype=torch.float64))
    assert torch.isfinite(gradient).all()
    unweighted = ppo_policy_loss(dirty[0], dirty[1], dirty[2], RESPONSE_MASK, 0.2)
    for name, a, b in zip(clean._fields, clean, unweighted, strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("log_ratio", [-5000.0, 5000.0])
def test_extremes_stay_finite(advantage: float, log_ratio: float):
    new = torch.tensor([[log_ratio]], requires_grad=True)
    out = ppo_policy_loss(
        new, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.ones(1, 1, dtype=torch.bool), 0.2
    )
    (gradient,) = torch.autograd.grad(out.loss, new)
    assert torch.isfinite(gradient).all()
    for name, value in zip(out._fields, out, strict=True):
        assert torch.isfinite(value), name


def test_micro_batches_add_up():
    new, old, advantages = batch(4)
    new.requires_grad_()
    whole = ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2)
    (expected,) = torch.autograd.grad(whole.loss, new)
    num_tokens = RESPONSE_MASK.sum()
    parts = [
        ppo_policy_loss(new[b], old[b], advantages[b], RESPONSE_MASK[b], 0.2, num_tokens=num_tokens)
        for b in range(2)
    ]
    (gradient,) = torch.autograd.grad(sum(p.loss for p in parts), new)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-15)
    for name in ("loss", "clip_fraction", "approx_kl", "ratio_mean"):
        together = sum(getattr(p, name).item() for p in parts)
        assert together == pytest.approx(getattr(whole, name).item(), abs=1e-12), name
    assert max(p.ratio_max for p in parts) == whole.ratio_max
    assert min(p.ratio_min for p in parts) == whole.ratio_min


def test_a_micro_batch_without_tokens_changes_nothing():
    new, old, advantages = batch(5)
    out = ppo_policy_loss(new, old, advantages, torch.zeros_like(RESPONSE_MASK), 0.2, num_tokens=5)
    assert (out.loss.item(), out.ratio_max.item(), out.ratio_min.item()) == (0.0, -math.inf, math.inf)


def test_importance_weights_by_hand():
    trainer = torch.log(torch.tensor([[0.5, 0.9, 0.3]]))
    sampler = torch.log(torch.tensor([[0.4, 0.1, 0.6]]))
    response_mask = torch.tensor([[True, True, True]])
    # 0.5 / 0.4 = 1.25; 0.9 / 0.1 = 9, capped at 2; 0.3 / 0.6 = 0.5
    weights = truncated_importance_weights(trainer, sampler, response_mask, cap=2.0)
    torch.testing.assert_close(weights, torch.tensor([[1.25, 2.0, 0.5]]))
    outside = torch.tensor([[True, False, True]])
    assert truncated_importance_weights(trainer, sampler, outside, cap=2.0)[0, 1].item() == 0.0


def test_importance_weights_undo_a_wrong_sampler():
    """E_sampler[w f] = E_trainer[f] while no weight reaches the cap."""
    generator = torch.Generator().manual_seed(6)
    trainer, sampler = torch.log_softmax(torch.randn(2, 8, generator=generator, dtype=torch.float64), dim=1)
    f = torch.randn(8, generator=generator, dtype=torch.float64)
    weights = truncated_importance_weights(trainer, sampler, torch.ones(8, dtype=torch.bool), cap=1e3)
    corrected = (sampler.exp() * weights * f).sum()
    assert corrected.item() == pytest.approx((trainer.exp() * f).sum().item(), rel=1e-12)
    capped = truncated_importance_weights(trainer, sampler, torch.ones(8, dtype=torch.bool), cap=1.0)
    assert capped.max().item() == 1.0


class Bandit:
    """16 answers, a reference and rewards; the expectation over answers is exact.

    Answer y stands in row y with the importance weight 16 pi_old(y), so the mean over the 16 tokens is
    the expectation under the old policy.
    """

    beta = 0.5
    num_answers = 16

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(8)
        logits = torch.randn(self.num_answers, generator=generator, dtype=torch.float64)
        self.reference = torch.log_softmax(logits, dim=0)
        self.rewards = torch.randn(self.num_answers, generator=generator, dtype=torch.float64)
        self.optimum = torch.log_softmax(self.reference + self.rewards / self.beta, dim=0)
        self.response_mask = torch.ones(self.num_answers, 1, dtype=torch.bool)

    def loss(self, logits: torch.Tensor, old_logits: torch.Tensor, baseline: float = 0.0) -> torch.Tensor:
        logprobs = torch.log_softmax(logits, dim=0)[:, None]
        old = torch.log_softmax(old_logits.detach(), dim=0)
        advantages = self.rewards - self.beta * (old - self.reference) - baseline
        weights = self.num_answers * old.exp()[:, None]
        return ppo_policy_loss(
            logprobs, old[:, None], advantages[:, None], self.response_mask, 0.2, weights
        ).loss

    def gradient(self, logits: torch.Tensor, baseline: float = 0.0) -> torch.Tensor:
        logits = logits.clone().requires_grad_()
        return torch.autograd.grad(self.loss(logits, logits, baseline), logits)[0]


@pytest.mark.parametrize("baseline", [0.0, 3.0])
def test_the_gradient_is_zero_at_the_known_optimum_and_only_there(baseline: float):
    """E[max(-A rho, ...)] has zero gradient at pi* ~ pi_ref exp(r / beta), whatever the baseline."""
    bandit = Bandit()
    assert bandit.gradient(bandit.optimum, baseline).abs().max().item() < 1e-12
    assert bandit.gradient(bandit.reference, baseline).abs().max().item() > 0.01
    wrong_way = torch.log_softmax(bandit.reference - bandit.rewards / bandit.beta, dim=0)
    assert bandit.gradient(wrong_way, baseline).abs().max().item() > 0.01


def test_ppo_arrives_at_the_known_optimum():
    bandit = Bandit()
    logits = bandit.reference.clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.03)
    for _ in range(300):
        old = logits.detach().clone()
        for _ in range(4):
            optimiser.zero_grad()
            bandit.loss(logits, old, baseline=0.0).backward()
            optimiser.step()
    policy = torch.log_softmax(logits.detach(), dim=0)
    assert (policy.exp() * (policy - bandit.optimum)).sum().item() < 1e-3
