"""PPO's loss and the KL as a loss: by hand, closed forms, masks, micro-batches, and the known optimum."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.objectives.groups import token_weights_by_response, token_weights_by_token
from tutelage.objectives.kl import kl_k1, kl_k2, kl_k3
from tutelage.objectives.policy import kl_penalty_loss, ppo_policy_loss, truncated_importance_weights

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


def test_clip_high_by_hand():
    ones = torch.ones(1, 4, dtype=torch.bool)
    new = torch.log(torch.tensor([[1.5, 1.3, 1.5, 0.5]])).requires_grad_()
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    out = ppo_policy_loss(new, torch.zeros(1, 4), advantages, ones, clip=0.2, clip_high=0.4)
    # A = 1: max(-1.5, -1.4) = -1.4 (clipped), max(-1.3, -1.3) = -1.3, which a clip of 0.2 had clipped
    # A = -1: max(1.5, 1.4) = 1.5, and below max(0.5, 0.8) = 0.8 (clipped) as before
    # mean (-1.4 - 1.3 + 1.5 + 0.8) / 4 = -0.1
    assert out.loss.item() == pytest.approx(-0.1)
    assert out.clip_fraction.item() == pytest.approx(0.5)
    (gradient,) = torch.autograd.grad(out.loss, new)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, -1.3 / 4, 1.5 / 4, 0.0]]))


def test_without_clip_high_the_clip_is_symmetric():
    new, old, advantages = batch(9, scale=1.0)
    plain = ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2)
    same = ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2, clip_high=0.2)
    wider = ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2, clip_high=9.0)
    for name, a, b in zip(plain._fields, plain, same, strict=True):
        assert torch.equal(a, b), name
    assert wider.clip_fraction < plain.clip_fraction


def test_token_weights_by_hand():
    # ratio 1, so a token's loss is -A w: -3 * 2 = -6 and 1 * 0.5 = 0.5; 0.1 * -6 + 0.7 * 0.5 = -0.25
    zeros, advantages = torch.zeros(1, 2), torch.tensor([[3.0, -1.0]])
    ones, importance = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[2.0, 0.5]])
    weights = torch.tensor([[0.1, 0.7]])
    out = ppo_policy_loss(zeros, zeros, advantages, ones, 0.2, importance, token_weights=weights)
    assert out.loss.item() == pytest.approx(-0.25)
    # k2 = d^2 / 2 with d = 2, -1: 2 and 0.5; 0.1 * 2 + 0.7 * 0.5 = 0.55; plain mean 1.25
    policy, reference = torch.tensor([[-1.0, -3.0]]), torch.tensor([[-3.0, -2.0]])
    penalty = kl_penalty_loss(policy, reference, ones, weights, estimator=kl_k2)
    assert (penalty.loss.item(), penalty.kl.item()) == (pytest.approx(0.55), pytest.approx(1.25))
    # k3 = e^-d - 1 + d: 0.135335 + 1 and 2.718282 - 2; their mean (1.135335 + 0.718282) / 2 = 0.926809
    assert kl_penalty_loss(policy, reference, ones).loss.item() == pytest.approx(0.926809, abs=1e-6)


def test_equal_token_weights_are_the_mean_and_no_weights_touch_the_diagnostics():
    new, old, advantages = batch(10)
    mean = ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2)
    by_token, by_response = (
        ppo_policy_loss(new, old, advantages, RESPONSE_MASK, 0.2, token_weights=weigh(RESPONSE_MASK))
        for weigh in (token_weights_by_token, token_weights_by_response)
    )
    assert by_token.loss.item() == pytest.approx(mean.loss.item(), rel=1e-6)
    assert by_response.loss.item() != pytest.approx(mean.loss.item(), rel=1e-3)
    for name in mean._fields[1:]:
        assert torch.equal(getattr(by_response, name), getattr(mean, name)), name


def weighted_losses(new, old, advantages, response_mask, weights, num_tokens=None) -> torch.Tensor:
    policy = ppo_policy_loss(
        new, old, advantages, response_mask, 0.2, num_tokens=num_tokens, clip_high=0.3, token_weights=weights
    )
    penalties = [
        kl_penalty_loss(new, old, response_mask, w, num_tokens, estimator)
        for w in (weights, None)
        for estimator in (kl_k1, kl_k2, kl_k3)
    ]
    return torch.stack([policy.loss, *(p.loss for p in penalties), *(p.kl for p in penalties)])


@pytest.mark.parametrize("rubbish", [float("nan"), float("-inf"), 1e9])
def test_nothing_outside_the_mask_counts_with_token_weights(rubbish: float):
    clean = [*batch(11), torch.rand(2, 4, dtype=torch.float64)]
    dirty = [torch.where(RESPONSE_MASK, t, rubbish) for t in clean]
    dirty[0].requires_grad_()
    new, old, advantages, weights = dirty
    out = weighted_losses(new, old, advantages, RESPONSE_MASK, weights)
    (gradient,) = torch.autograd.grad(out.sum(), new)
    assert torch.equal(gradient[~RESPONSE_MASK], torch.zeros(3, dtype=torch.float64))
    assert torch.isfinite(gradient).all()
    new, old, advantages, weights = clean
    assert torch.equal(out, weighted_losses(new, old, advantages, RESPONSE_MASK, weights))


def test_micro_batches_add_up_with_token_weights():
    new, old, advantages = batch(12)
    weights = token_weights_by_response(RESPONSE_MASK)
    whole = weighted_losses(new, old, advantages, RESPONSE_MASK, weights)
    parts = [
        weighted_losses(new[b], old[b], advantages[b], RESPONSE_MASK[b], weights[b], num_tokens=5)
        for b in range(2)
    ]
    torch.testing.assert_close(parts[0] + parts[1], whole, rtol=0, atol=1e-12)


def test_gradcheck_with_token_weights_and_no_gradient_for_the_rest():
    new, old, advantages = batch(13, scale=0.05)
    weights = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)
    new.requires_grad_()
    old.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda lp: weighted_losses(lp, old.detach(), advantages, RESPONSE_MASK, weights.detach())[:7], new
    )
    out = weighted_losses(new, old, advantages, RESPONSE_MASK, weights)
    unused = torch.autograd.grad(out.sum(), [new, old, weights], allow_unused=True)
    assert unused[1] is None and unused[2] is None
    assert not kl_penalty_loss(new, old, RESPONSE_MASK).kl.requires_grad


def gradient_of_kl(policy: torch.Tensor, reference: torch.Tensor, reverse: bool) -> torch.Tensor:
    """By logits: of KL(policy || reference), or of KL(reference || policy) if `reverse`; by its definition."""
    logits = policy.clone().requires_grad_()
    a, b = torch.log_softmax(logits, dim=0), reference
    a, b = (b, a) if reverse else (a, b)
    return torch.autograd.grad((a.exp() * (a - b)).sum(), logits)[0]


def expected_gradient_of_penalty(policy: torch.Tensor, reference: torch.Tensor, estimator) -> torch.Tensor:
    """By logits, of the estimator as a loss; answer y stands in row y, weighted by its probability."""
    logits = policy.clone().requires_grad_()
    logprobs = torch.log_softmax(logits, dim=0)
    everywhere = torch.ones_like(policy, dtype=torch.bool)
    loss = kl_penalty_loss(logprobs, reference, everywhere, policy.exp(), estimator=estimator).loss
    return torch.autograd.grad(loss, logits)[0]


def test_the_gradient_of_k3_as_a_loss_is_that_of_the_other_kl():
    """Exact expectations: k2 gives grad KL(policy || reference), k3 grad KL(reference || policy), k1 zero."""
    generator = torch.Generator().manual_seed(14)
    logits = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    policy, reference = torch.log_softmax(logits, dim=1)
    forward, backward = (gradient_of_kl(policy, reference, reverse) for reverse in (False, True))
    k1, k2, k3 = (expected_gradient_of_penalty(policy, reference, e) for e in (kl_k1, kl_k2, kl_k3))
    torch.testing.assert_close(k1, torch.zeros_like(k1), rtol=0, atol=1e-14)
    torch.testing.assert_close(k2, forward, rtol=0, atol=1e-14)
    torch.testing.assert_close(k3, backward, rtol=0, atol=1e-14)
    assert (k3 - forward).abs().max().item() > 0.05
    # and by hand: KL(reference || policy) has the gradient policy - reference
    torch.testing.assert_close(k3, policy.exp() - reference.exp(), rtol=0, atol=1e-14)


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


def gradient_with_penalty(bandit: Bandit, policy: torch.Tensor, estimator) -> torch.Tensor:
    """Of minus the expected reward plus beta times the penalty, both exact expectations as losses."""
    logits = policy.clone().requires_grad_()
    logprobs, probability = torch.log_softmax(logits, dim=0)[:, None], policy.exp()[:, None]
    reward = ppo_policy_loss(
        logprobs,
        policy[:, None],
        bandit.rewards[:, None],
        bandit.response_mask,
        0.2,
        token_weights=probability,
    )
    penalty = kl_penalty_loss(
        logprobs, bandit.reference[:, None], bandit.response_mask, probability, estimator=estimator
    )
    return torch.autograd.grad(reward.loss + bandit.beta * penalty.loss, logits)[0]


def test_the_penalty_k2_rests_at_the_known_optimum_and_k3_elsewhere():
    """With k2 at pi* ~ pi_ref exp(r / beta). With k3, GRPO's, at pi = beta pi_ref / (c - r), which sums to 1.

    The gradient by logit y is -pi (r - E r) + beta (pi - pi_ref): zero where pi (E r + beta - r) = beta pi_ref.
    """
    bandit = Bandit()
    assert gradient_with_penalty(bandit, bandit.optimum, kl_k2).abs().max().item() < 1e-12
    assert gradient_with_penalty(bandit, bandit.optimum, kl_k3).abs().max().item() > 0.01
    low, high = bandit.rewards.max().item(), bandit.rewards.max().item() + bandit.beta
    for _ in range(100):  # the sum falls from infinity at c = max r to at most 1 at max r + beta
        c = (low + high) / 2
        policy = bandit.beta * bandit.reference.exp() / (c - bandit.rewards)
        low, high = (c, high) if policy.sum() > 1 else (low, c)
    assert policy.sum().item() == pytest.approx(1.0, abs=1e-12)
    assert gradient_with_penalty(bandit, policy.log(), kl_k3).abs().max().item() < 1e-12
    assert gradient_with_penalty(bandit, policy.log(), kl_k2).abs().max().item() > 0.01
