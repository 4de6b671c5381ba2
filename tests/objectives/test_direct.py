"""Direct preference losses: by hand, closed forms, the known optima, unbiasedness, symmetry, micro-batches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tutelage.objectives.direct import (
    dpo_loss,
    implicit_reward,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    length_normalised,
    robust_dpo_loss,
)

BETA = 0.5
FLIP_RATE = 0.2
PairLoss = Callable[..., tuple[Tensor, ...]]


def cdpo(*args, **kwargs):
    return dpo_loss(*args, **kwargs, label_smoothing=FLIP_RATE)


def robust(*args, **kwargs):
    return robust_dpo_loss(*args, **kwargs, flip_rate=FLIP_RATE)


PAIR_LOSSES = {"dpo": dpo_loss, "cdpo": cdpo, "robust": robust, "ipo": ipo_loss}
each_pair_loss = pytest.mark.parametrize("loss", PAIR_LOSSES.values(), ids=PAIR_LOSSES.keys())


def draw(seed: int, *shape: int) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Two pairs by hand at beta 0.5. Log-ratios of chosen: -4 - -6 = 2 and -3 - -2 = -1, of rejected:
# -5 - -5 = 0 and -7 - -8 = 1; rewards 1, -0.5 and 0, 0.5; margins 1, -1.
CHOSEN, REJECTED = doubles(-4.0, -3.0), doubles(-5.0, -7.0)
REFERENCE_CHOSEN, REFERENCE_REJECTED = doubles(-6.0, -2.0), doubles(-5.0, -8.0)
PAIRS = (CHOSEN, REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED, BETA)
WEIGHT = doubles(3.0, 1.0)
# softplus(-1), softplus(1)
LOW, HIGH = 0.3132617, 1.3132617


def test_implicit_reward_and_length_by_hand():
    assert implicit_reward(CHOSEN, REFERENCE_CHOSEN, BETA).tolist() == [1.0, -0.5]
    # -4 / 8, -3 / 2; no tokens, no mean
    assert length_normalised(CHOSEN, torch.tensor([8, 2])).tolist() == [-0.5, -1.5]
    assert length_normalised(torch.zeros(1), torch.tensor([0])).tolist() == [0.0]


def test_dpo_by_hand():
    out = dpo_loss(*PAIRS, weight=WEIGHT)
    assert out.loss.item() == pytest.approx((3 * LOW + HIGH) / 4, abs=1e-6)
    # label smoothing 0.2: 0.8 * 0.3132617 + 0.2 * 1.3132617 = 0.5132617; 0.8 and 0.2 swapped: 1.1132617
    out = dpo_loss(*PAIRS, label_smoothing=0.2, weight=WEIGHT)
    assert out.loss.item() == pytest.approx((3 * 0.5132617 + 1.1132617) / 4, abs=1e-6)


def test_robust_dpo_by_hand():
    # (0.8 * 0.3132617 - 0.2 * 1.3132617) / 0.6 = -0.0200716; (0.8 * 1.3132617 - 0.2 * 0.3132617) / 0.6
    # = 1.6465950
    out = robust_dpo_loss(*PAIRS, flip_rate=0.2, weight=WEIGHT)
    assert out.loss.item() == pytest.approx((3 * -0.0200716 + 1.6465950) / 4, abs=1e-6)


def test_ipo_by_hand():
    # h = 2, -2; 1 / (2 * 0.5) = 1; (2 - 1)^2 = 1, (-2 - 1)^2 = 9; (3 * 1 + 9) / 4
    assert ipo_loss(*PAIRS, weight=WEIGHT).loss.item() == pytest.approx(3.0)
    # a token: log-ratios 2 / 4, -1 / 1 and 0 / 5, 1 / 2; h = 0.5, -1.5; (0.25 + 6.25) / 2
    chosen_lengths, rejected_lengths = torch.tensor([4, 1]), torch.tensor([5, 2])
    lengths = (chosen_lengths, rejected_lengths, chosen_lengths, rejected_lengths)
    normalised = [length_normalised(x, n) for x, n in zip(PAIRS[:4], lengths, strict=True)]
    assert ipo_loss(*normalised, BETA).loss.item() == pytest.approx(3.25)


@each_pair_loss
def test_diagnostics_by_hand(loss: PairLoss):
    """They are of the labels as given, whatever the loss makes of these."""
    policy = CHOSEN.clone().requires_grad_()
    out = loss(policy, *PAIRS[1:], weight=WEIGHT)._asdict()
    assert out.pop("loss").requires_grad
    assert not any(value.requires_grad for value in out.values())
    # accuracy (3 * 1 + 0) / 4, margin (3 * 1 - 1) / 4, rewards (3 * 1 - 0.5) / 4 and (3 * 0 + 0.5) / 4
    expected = {"accuracy": 0.75, "margin": 0.5, "chosen_reward": 0.625, "rejected_reward": 0.125}
    assert {name: value.item() for name, value in out.items()} == pytest.approx(expected)


def test_equal_log_ratios_give_log_two():
    policy, shift = draw(1, 4), 1.7
    for loss in (dpo_loss, cdpo, robust):
        out = loss(policy, 2 * policy, policy - shift, 2 * policy - shift, BETA)
        assert out.loss.item() == pytest.approx(math.log(2), abs=1e-12)
        assert out.accuracy.item() == 0.5
        assert out.margin.item() == pytest.approx(0.0, abs=1e-12)


def slope(loss: PairLoss, log_ratio: float, beta: float) -> float:
    """d loss / d log-ratio of chosen, for one pair whose rejected log-ratio is 0."""
    policy = doubles(log_ratio).requires_grad_()
    zero = doubles(0.0)
    (gradient,) = torch.autograd.grad(loss(policy, zero, zero, zero, beta)[0], policy)
    return gradient.item()


@pytest.mark.parametrize("beta", [0.05, 0.5, 2.0])
def test_where_a_single_pair_comes_to_rest(beta: float):
    # IPO: 2 (h - 1 / (2 beta)); the loss there is 0
    rest = 1 / (2 * beta)
    assert slope(ipo_loss, rest, beta) == pytest.approx(0.0, abs=1e-12)
    assert slope(ipo_loss, rest + 1, beta) == pytest.approx(2.0)
    assert slope(ipo_loss, 0.0, beta) == pytest.approx(-1 / beta)
    # cDPO: sigmoid(m) = 1 - e, so m = log(0.8 / 0.2)
    assert slope(cdpo, math.log(4) / beta, beta) == pytest.approx(0.0, abs=1e-12)
    # DPO: -beta sigmoid(-m), nowhere zero; robust DPO: never above -beta e / (1 - 2e)
    assert slope(dpo_loss, 1 / beta, beta) == pytest.approx(-beta / (1 + math.e))
    assert slope(robust, 60 / beta, beta) == pytest.approx(-beta * 0.2 / 0.6)


# A small space: one prompt, five responses, all ordered pairs of different ones.
REWARDS = doubles(1.0, -0.5, 0.3, 0.0, -1.2)
LOG_REFERENCE = torch.log_softmax(doubles(0.2, 1.0, -0.7, 0.0, 0.5), 0)
NUM = len(REWARDS)
FIRST, SECOND = (
    torch.tensor(side) for side in zip(*[(i, j) for i in range(NUM) for j in range(NUM) if i != j])
)
BRADLEY_TERRY = torch.sigmoid(REWARDS[:, None] - REWARDS[None, :])
UNIFORM = torch.full((NUM,), 1 / NUM, dtype=torch.float64)
UNEVEN = doubles(0.1, 0.05, 0.1, 0.5, 0.25)
# 0 beats 1 beats 2 and so on, always; against oneself even
TOTAL = torch.triu(torch.ones(NUM, NUM, dtype=torch.float64), 1) + 0.5 * torch.eye(NUM, dtype=torch.float64)
each_mu = pytest.mark.parametrize("mu", [UNIFORM, UNEVEN], ids=["uniform", "uneven"])


def descend(loss: PairLoss, preference: Tensor, mu: Tensor, rate: float, steps: int = 2000) -> Tensor:
    """Log-probabilities after gradient descent on the exact expected loss, from the reference.

    Both responses of a pair are drawn from mu, and the first is chosen with probability `preference`.
    """
    weight = mu[FIRST] * mu[SECOND] * preference[FIRST, SECOND]
    logits = LOG_REFERENCE.clone().requires_grad_()
    for _ in range(steps):
        policy = torch.log_softmax(logits, 0)
        sides = policy[FIRST], policy[SECOND], LOG_REFERENCE[FIRST], LOG_REFERENCE[SECOND]
        value = loss(*sides, BETA, weight=weight)[0]
        (gradient,) = torch.autograd.grad(value, logits)
        with torch.no_grad():
            logits -= rate * gradient
    return torch.log_softmax(logits.detach(), 0)


def kl(one: Tensor, other: Tensor) -> float:
    return (one.exp() * (one - other)).sum().item()


def tilted(rewards: Tensor) -> Tensor:
    """log of pi_ref exp(rewards / beta) / Z."""
    return torch.log_softmax(LOG_REFERENCE + rewards / BETA, 0)


@each_mu
def test_dpo_arrives_at_the_known_optimum(mu: Tensor):
    """Bradley-Terry is well specified, so it matters not how pairs are drawn."""
    optimum = tilted(REWARDS)
    assert kl(optimum, LOG_REFERENCE) > 0.5
    assert kl(optimum, descend(dpo_loss, BRADLEY_TERRY, mu, rate=20.0)) < 1e-8


def test_robust_dpo_arrives_at_the_known_optimum_from_flipped_labels():
    noisy = (1 - FLIP_RATE) * BRADLEY_TERRY + FLIP_RATE * BRADLEY_TERRY.T
    assert kl(tilted(REWARDS), descend(robust, noisy, UNIFORM, rate=20.0)) < 1e-8
    assert kl(tilted(REWARDS), descend(dpo_loss, noisy, UNIFORM, rate=20.0)) > 0.1


def test_conservative_dpo_keeps_the_order_and_stays_nearer():
    arrived = descend(cdpo, BRADLEY_TERRY, UNIFORM, rate=20.0)
    rewards = implicit_reward(arrived, LOG_REFERENCE, BETA)
    assert rewards.argsort().tolist() == REWARDS.argsort().tolist()
    assert 0.05 < kl(arrived, LOG_REFERENCE) < 0.5 * kl(tilted(REWARDS), LOG_REFERENCE)


@each_mu
@pytest.mark.parametrize("preference", [BRADLEY_TERRY, TOTAL], ids=["bradley-terry", "total"])
def test_ipo_arrives_at_its_own_optimum(preference: Tensor, mu: Tensor):
    """pi proportional to pi_ref exp(p(y) / beta), p(y) the preference of y over an opponent from mu.

    Write h(i, j) = f_i - f_j, c = 1 / (2 beta). Over i, j from mu the expected loss is
    p_ij (h - c)^2 + p_ji (h + c)^2 = (h - c (p_ij - p_ji))^2 + constant. Its slope in f_i vanishes where
    f_i - mean f = c (p(i) - (1 - p(i))) = (p(i) - 1/2) / beta, the mean being over mu. A response met by
    itself counts 1/2 in p(i); in the loss it is a constant, and left out.
    """
    mean_preference = preference @ mu
    arrived = descend(ipo_loss, preference, mu, rate=0.5)
    assert kl(tilted(mean_preference), arrived) < 1e-8
    # and not at DPO's, nor at that of other opponents
    assert kl(tilted(REWARDS), arrived) > 0.1
    other = UNIFORM if mu is UNEVEN else UNEVEN
    assert kl(tilted(preference @ other), arrived) > 1e-5


def test_robust_dpo_is_unbiased():
    """The expectation over all 2^3 ways to flip three labels is the loss on clean labels, slope included."""
    chosen, rejected, ref_chosen, ref_rejected = draw(2, 4, 3)
    weight = doubles(1.0, 2.0, 0.5)
    policy = chosen.requires_grad_()
    expected = doubles(0.0).sum()
    for flips in itertools.product([False, True], repeat=3):
        flip = torch.tensor(flips)
        probability = math.prod(FLIP_RATE if f else 1 - FLIP_RATE for f in flips)
        first = torch.where(flip, rejected, policy), torch.where(flip, policy, rejected)
        second = torch.where(flip, ref_rejected, ref_chosen), torch.where(flip, ref_chosen, ref_rejected)
        out = robust_dpo_loss(*first, *second, BETA, FLIP_RATE, weight)
        expected = expected + probability * out.loss
    clean = dpo_loss(policy, rejected, ref_chosen, ref_rejected, BETA, weight=weight).loss
    assert expected.item() == pytest.approx(clean.item(), abs=1e-12)
    slopes = [torch.autograd.grad(value, policy)[0] for value in (expected, clean)]
    assert torch.allclose(*slopes, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 0.45))
def test_swapping_the_sides(a: float, b: float, smoothing: float):
    """Swapped sides with the label's smoothing mirrored are the same loss; IPO's differ by 2 h / beta."""
    one, other, zero = doubles(a), doubles(b), doubles(0.0)
    there, back = (one, other, zero, zero, BETA), (other, one, zero, zero, BETA)
    straight = dpo_loss(*there, label_smoothing=smoothing)
    mirrored = dpo_loss(*back, label_smoothing=1 - smoothing)
    assert straight.loss.item() == pytest.approx(mirrored.loss.item(), abs=1e-9)
    assert straight.accuracy.item() == 1 - mirrored.accuracy.item()
    assert straight.margin.item() == -mirrored.margin.item()
    assert straight.chosen_reward.item() == mirrored.rejected_reward.item()
    # e <-> 1 - e turns the sign of 1 - 2e as well as the sides
    assert robust_dpo_loss(*there, smoothing).loss.item() == pytest.approx(
        robust_dpo_loss(*back, 1 - smoothing).loss.item(), abs=1e-9
    )
    # (-h - c)^2 - (h - c)^2 = 4 h c = 2 h / beta
    difference = ipo_loss(*back).loss - ipo_loss(*there).loss
    assert difference.item() == pytest.approx(2 * (a - b) / BETA, abs=1e-9)


@each_pair_loss
def test_only_log_ratios_matter(loss: PairLoss):
    sides, shift = draw(3, 4, 5), draw(4, 2, 5)
    moved = [sides[k] + shift[k % 2] for k in range(4)]
    for x, y in zip(loss(*sides, BETA), loss(*moved, BETA), strict=True):
        assert x.item() == pytest.approx(y.item(), abs=1e-10)


def test_without_noise_the_variants_are_dpo():
    sides = draw(5, 4, 6)
    plain = dpo_loss(*sides, BETA)
    for same in (dpo_loss(*sides, BETA, label_smoothing=0.0), robust_dpo_loss(*sides, BETA, flip_rate=0.0)):
        for x, y in zip(same, plain, strict=True):
            assert x.item() == pytest.approx(y.item(), abs=1e-12)


def assert_add_up(whole: tuple[Tensor, ...], parts: list[tuple[Tensor, ...]]):
    for k, value in enumerate(whole):
        assert sum(part[k].item() for part in parts) == pytest.approx(value.item(), abs=1e-12), k


SPLIT = (slice(0, 2), slice(2, 3), slice(3, 7))


@each_pair_loss
def test_micro_batches_add_up(loss: PairLoss):
    sides = draw(6, 4, 7)
    weight = doubles(1.0, 2.0, 0.5, 3.0, 0.0, 1.0, 1.5)
    for w in (weight, None):
        total = 7.0 if w is None else w.sum()
        parts = [
            loss(*sides[:, s], BETA, weight=None if w is None else w[s], total_weight=total) for s in SPLIT
        ]
        assert_add_up(loss(*sides, BETA, weight=w), parts)


def test_kto_micro_batches_add_up_though_one_holds_a_single_kind():
    policy, reference = draw(7, 2, 7)
    desirable = torch.tensor([True, True, False, True, False, False, True])
    weight = doubles(1.0, 2.0, 0.5, 3.0, 0.0, 1.0, 1.5)
    kl_point = doubles(0.7).sum()
    whole = kto_loss(policy, reference, desirable, kl_point, BETA, 1.0, 1.5, weight)
    parts = [
        kto_loss(policy[s], reference[s], desirable[s], kl_point, BETA, 1.0, 1.5, weight[s], weight.sum())
        for s in SPLIT
    ]
    assert_add_up(whole, parts)
    # the means of either kind, from what has been added up
    reward = BETA * (policy - reference)
    share = whole.desirable_share.item()
    for total, kind, part in (
        (whole.desirable_reward, desirable, share),
        (whole.undesirable_reward, ~desirable, 1 - share),
    ):
        mean = ((weight * reward)[kind].sum() / weight[kind].sum()).item()
        assert total.item() / part == pytest.approx(mean)


@pytest.mark.parametrize("gap", [1e4, -1e4])
def test_extremes_stay_finite(gap: float):
    for losses in PAIR_LOSSES.values():
        policy = torch.tensor([gap], requires_grad=True)
        zero = torch.zeros(1)
        for sides in ((policy, zero), (zero, policy)):
            loss = losses(*sides, zero, zero, BETA).loss
            assert torch.isfinite(loss)
            assert torch.isfinite(torch.autograd.grad(loss, policy)[0]).all()
    # softplus(5000) = 5000
    assert dpo_loss(torch.tensor([-1e4]), zero, zero, zero, BETA).loss.item() == 5000.0
    for label in (True, False):
        policy = torch.tensor([gap], requires_grad=True)
        loss = kto_loss(policy, torch.zeros(1), torch.tensor([label]), torch.tensor(0.0), BETA).loss
        assert loss.item() == (float(gap < 0) if label else float(gap > 0))
        assert torch.autograd.grad(loss, policy)[0].item() == 0.0


def test_kto_keeps_the_digits_of_a_small_loss():
    # s = 40: 1 / (1 + e^40) = e^-40; 1 - sigmoid(40) would be 0 in float32
    loss = kto_loss(torch.tensor([80.0]), torch.zeros(1), torch.tensor([True]), torch.tensor(0.0), BETA).loss
    assert loss.item() == pytest.approx(math.exp(-40), rel=1e-5, abs=0)


def test_kto_by_hand():
    policy, reference = doubles(-4.0, -3.0, -5.0), doubles(-6.0, -2.0, -4.0)
    desirable = torch.tensor([True, True, False])
    out = kto_loss(policy, reference, desirable, doubles(1.0).sum(), BETA, 2.0, 3.0, doubles(2.0, 1.0, 5.0))
    # log-ratios 2, -1, -1; rewards 1, -0.5, -0.5; less beta kl = 0.5: 0.5, -1, -1; signed 0.5, -1, 1
    # sigmoid(-0.5) = 0.3775407, sigmoid(1) = 0.7310586, sigmoid(-1) = 0.2689414
    # (2 * 2 * 0.3775407 + 1 * 2 * 0.7310586 + 5 * 3 * 0.2689414) / 8 = 0.8758001
    assert out.loss.item() == pytest.approx(0.8758001, abs=1e-6)
    # right side: weights 2 and 5 of 8; margin (2 * 0.5 - 1 + 5 * 1) / 8; rewards (2 * 1 - 0.5) / 8, 5 * -0.5 / 8
    assert out.accuracy.item() == pytest.approx(0.875)
    assert out.margin.item() == pytest.approx(0.625)
    assert out.desirable_reward.item() == pytest.approx(0.1875)
    assert out.undesirable_reward.item() == pytest.approx(-0.3125)
    assert out.desirable_share.item() == pytest.approx(0.375)


def test_kto_at_the_reference_point_is_half_of_either_weight():
    policy, half = draw(8, 1).requires_grad_(), doubles(1.5).sum()
    for label, sign in ((True, -1), (False, 1)):
        out = kto_loss(policy, policy.detach() - 1.5, torch.tensor([label]), half, BETA, 0.8, 0.8)
        assert out.loss.item() == pytest.approx(0.4)
        assert out.accuracy.item() == 0.5
        # d loss / d log pi = -+ lambda beta sigmoid'(0) = -+ 0.8 * 0.5 / 4
        assert torch.autograd.grad(out.loss, policy)[0].item() == pytest.approx(sign * 0.1)


@settings(max_examples=50, deadline=None)
@given(st.floats(-30, 30), st.floats(0, 10), st.booleans())
def test_kto_mirrored_about_the_reference_point(log_ratio: float, point: float, label: bool):
    """A response as far on the other side with the other label is the same loss, its weight apart."""
    zero, kl_point = doubles(0.0), doubles(point).sum()
    there = kto_loss(doubles(log_ratio), zero, torch.tensor([label]), kl_point, BETA, 2.0, 3.0)
    back = kto_loss(doubles(2 * point - log_ratio), zero, torch.tensor([not label]), kl_point, BETA, 3.0, 2.0)
    assert there.loss.item() == pytest.approx(back.loss.item(), rel=1e-9)
    assert there.margin.item() == pytest.approx(back.margin.item(), abs=1e-9)


def test_kto_reference_point():
    # (2 - 1 + 0.5) / 3; a negative mean is held at zero
    policy, reference = doubles(-1.0, -4.0, -2.0).requires_grad_(), doubles(-3.0, -3.0, -2.5)
    point = kto_reference_point(policy, reference)
    assert point.item() == pytest.approx(0.5)
    assert not point.requires_grad
    assert kto_reference_point(reference, policy).item() == 0.0


def test_no_gradient_flows_through_ktos_reference_point():
    policy, point = draw(9, 3).requires_grad_(), doubles(0.3).sum().requires_grad_()
    out = kto_loss(policy, draw(10, 3), torch.tensor([True, False, True]), point, BETA)
    gradients = torch.autograd.grad(out.loss, (policy, point), allow_unused=True)
    assert gradients[0].abs().min().item() > 0
    assert gradients[1] is None
    assert not any(value.requires_grad for value in out[1:])


def test_gradcheck():
    chosen, rejected, ref_chosen, ref_rejected = draw(11, 4, 5)
    policy = (chosen.requires_grad_(), rejected.requires_grad_())
    lengths, weight = torch.tensor([3, 1, 4, 2, 5]), draw(12, 5).abs()
    for loss in PAIR_LOSSES.values():
        assert torch.autograd.gradcheck(
            lambda c, r, loss=loss: loss(c, r, ref_chosen, ref_rejected, BETA, weight=weight).loss, policy
        )
    desirable = torch.tensor([True, False, True, True, False])
    assert torch.autograd.gradcheck(
        lambda c: kto_loss(c, ref_chosen, desirable, doubles(0.4).sum(), BETA, 1.0, 1.3, weight).loss, chosen
    )
    assert torch.autograd.gradcheck(lambda c: length_normalised(c, lengths), chosen)


def test_half_precision_is_raised():
    """The losses are worked out in float32: 0.1 * 2 in bfloat16 would be 0.2002."""
    policy, reference = torch.tensor([-400.0]).bfloat16(), torch.tensor([-402.0]).bfloat16()
    zero = torch.zeros(1).bfloat16()
    sides = (policy, zero, reference, zero, 0.1)
    for loss in PAIR_LOSSES.values():
        assert all(value.dtype == torch.float32 for value in loss(*sides))
    # m = 0.1 * 2
    assert dpo_loss(*sides).loss.item() == pytest.approx(math.log1p(math.exp(-0.2)), rel=1e-6)
    assert kto_loss(policy, reference, torch.tensor([True]), zero.sum(), 0.1).loss.item() == pytest.approx(
        1 / (1 + math.exp(0.2)), rel=1e-6
    )
    assert length_normalised(policy, torch.tensor([3])).item() == pytest.approx(-400 / 3, rel=1e-6)
