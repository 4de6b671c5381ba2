"""Bradley-Terry and Plackett-Luce: closed forms, ties, symmetry, enumeration, prompts as units."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.objectives.preference import (
    RankedScores,
    bradley_terry_loss,
    margin_loss,
    pairwise_loss,
    plackett_luce_loss,
    ranking_loss,
    smoothed_label,
    unbiased_label,
)

KINDS = ["bradley-terry", "plackett-luce"]


def scores_of(seed: int, num: int) -> torch.Tensor:
    return torch.randn(num, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equal_scores_give_log_two():
    same = torch.tensor([3.0])
    for preference in (None, torch.tensor([0.5]), torch.tensor([0.2])):
        out = bradley_terry_loss(same, same, preference)
        assert out.loss.item() == pytest.approx(math.log(2))
        assert out.accuracy.item() == 0.5
        assert out.margin.item() == 0.0


def test_bradley_terry_by_hand():
    chosen, rejected = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0])
    preference, weight = torch.tensor([1.0, 0.75]), torch.tensor([3.0, 1.0])
    out = bradley_terry_loss(chosen, rejected, preference, weight)
    # softplus(-1) = 0.3132617, softplus(1) = 1.3132617
    # pair 0: 0.3132617; pair 1, d = -1: 0.75 * 1.3132617 + 0.25 * 0.3132617 = 1.0632617
    # (3 * 0.3132617 + 1.0632617) / 4 = 0.5007617
    assert out.loss.item() == pytest.approx(0.5007617, abs=1e-6)
    # (3 * 1 + 0.25) / 4; margin (3 * 1 + 0.5 * -1) / 4
    assert out.accuracy.item() == pytest.approx(0.8125)
    assert out.margin.item() == pytest.approx(0.625)


@settings(max_examples=50, deadline=None)
@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 1))
def test_swapping_the_sides_changes_nothing(a: float, b: float, p: float):
    chosen, rejected = torch.tensor([a]).double(), torch.tensor([b]).double()
    preference = torch.tensor([p]).double()
    one = bradley_terry_loss(chosen, rejected, preference)
    other = bradley_terry_loss(rejected, chosen, 1 - preference)
    for x, y in zip(one, other, strict=True):
        assert x.item() == pytest.approx(y.item(), abs=1e-12)


def test_soft_label_is_cross_entropy_with_its_minimum_at_the_log_odds():
    # d loss / d chosen = sigmoid(d) - p, zero at d = log(p / (1 - p))
    p = 0.8
    chosen = torch.tensor([math.log(p / (1 - p))], dtype=torch.float64, requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.zeros(1), torch.tensor([p], dtype=torch.float64)).loss
    (gradient,) = torch.autograd.grad(loss, chosen)
    assert abs(gradient.item()) < 1e-12
    assert loss.item() == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))


def test_bradley_terry_micro_batches_add_up():
    chosen, rejected = scores_of(1, 5), scores_of(2, 5)
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    whole = bradley_terry_loss(chosen, rejected, None, weight)
    parts = [
        bradley_terry_loss(chosen[s], rejected[s], None, weight[s], total_weight=weight.sum())
        for s in (slice(0, 2), slice(2, 5))
    ]
    for name in whole._fields:
        together = sum(getattr(p, name).item() for p in parts)
        assert together == pytest.approx(getattr(whole, name).item(), abs=1e-12), name


@pytest.mark.parametrize("gap", [1e4, -1e4])
def test_extremes_stay_finite(gap: float):
    scores = torch.tensor([gap, 0.0, -gap], requires_grad=True)
    for groups in ([[0], [1], [2]], [[0, 1, 2]], [[2], [0, 1]]):
        for kind in KINDS:
            loss = ranking_loss([(scores, groups, 1.0)], kind).loss
            (gradient,) = torch.autograd.grad(loss, scores)
            assert torch.isfinite(loss)
            assert torch.isfinite(gradient).all()


def test_plackett_luce_by_hand():
    # e^s = 1, 2, 4: the order 2, 1, 0 has probability 4/7 * 2/3; two choices
    scores = torch.log(torch.tensor([1.0, 2.0, 4.0]))
    out = plackett_luce_loss(scores, [[2], [1], [0]])
    assert out.loss.item() == pytest.approx(-math.log(4 / 7 * 2 / 3) / 2)
    # the order 0, then 1 and 2 tied: 1/7, then Efron: 2 * 4 / (6 * (6 - 6 / 2)) = 8 / 18; three choices
    out = plackett_luce_loss(scores, [[0], [1, 2]])
    assert out.loss.item() == pytest.approx(-math.log(1 / 7 * 8 / 18) / 3)
    # 1 and 2 tied, then 0: 2 * 4 / (7 * (7 - 6 / 2)) = 8 / 28; the last choice says nothing
    out = plackett_luce_loss(scores, [[1, 2], [0]])
    assert out.loss.item() == pytest.approx(-math.log(8 / 28) / 2)


def test_plackett_luce_of_two_is_bradley_terry():
    scores = scores_of(3, 2)
    expected = bradley_terry_loss(scores[1:], scores[:1])
    for out in (plackett_luce_loss(scores, [[1], [0]]), pairwise_loss(scores, [[1], [0]])):
        for x, y in zip(out, expected, strict=True):
            assert x.item() == pytest.approx(y.item(), abs=1e-12)


def test_a_tie_of_two_is_the_even_bradley_terry_up_to_a_constant():
    # Efron: log S + log(S / 2) - a - b over two choices = log S - (a + b) / 2 - log(2) / 2
    for a, b in [(0.0, 0.0), (1.0, -2.0), (5.0, 4.5)]:
        scores = torch.tensor([a, b], dtype=torch.float64, requires_grad=True)
        tie = plackett_luce_loss(scores, [[0, 1]]).loss
        even = bradley_terry_loss(scores[:1], scores[1:], torch.tensor([0.5])).loss
        assert tie.item() == pytest.approx(even.item() - math.log(2) / 2, abs=1e-12)
        assert torch.allclose(torch.autograd.grad(tie, scores)[0], torch.autograd.grad(even, scores)[0])


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[3], [0, 1, 2]], [[0, 1, 2], [3]], [[3], [0, 1, 2], [4]]])
def test_a_tie_is_likeliest_at_equal_scores(groups: list[list[int]]):
    """Among the members of a tie, equal scores are a stationary point and the loss is convex."""
    scores = scores_of(4, 5)
    scores[:3] = 0.7
    scores.requires_grad_()
    loss = plackett_luce_loss(scores, groups).loss
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient[:3].std().item() < 1e-12
    for seed in range(5):
        step = 0.5 * scores_of(seed + 20, 3)
        moved = torch.cat([scores.detach()[:3] + step - step.mean(), scores.detach()[3:]])
        assert plackett_luce_loss(moved, groups).loss.item() > loss.item()


def test_strict_orders_are_a_probability_distribution():
    scores = scores_of(5, 4)
    total = sum(
        math.exp(-3 * plackett_luce_loss(scores, [[i] for i in order]).loss.item())
        for order in itertools.permutations(range(4))
    )
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.5])
def test_efron_is_near_the_exact_likelihood_of_a_tie(spread: float):
    """Exact is the mean over the tie's orders. Efron meets it at equal scores and stays near."""
    scores = spread * scores_of(6, 5)
    orders = itertools.permutations([0, 1, 2])
    exact = torch.stack(
        [-4 * plackett_luce_loss(scores, [[i] for i in order] + [[3], [4]]).loss for order in orders]
    )
    log_exact = (torch.logsumexp(exact, 0) - math.log(6)).item()
    log_efron = -4 * plackett_luce_loss(scores, [[0, 1, 2], [3], [4]]).loss.item()
    everyone, rest = torch.logsumexp(scores, 0), torch.logsumexp(scores[3:], 0)
    log_breslow = (scores[:3].sum() - 3 * everyone + scores[3] - rest).item()
    assert abs(log_efron - log_exact) < 0.4 * spread**2 + 1e-12
    assert abs(log_efron - log_exact) < 0.2 * abs(log_breslow - log_exact)


def test_unranked_responses_have_no_say():
    scores = scores_of(7, 5).requires_grad_()
    for kind in KINDS:
        loss = ranking_loss([(scores, [[3], [0, 1]], 1.0)], kind).loss
        (gradient,) = torch.autograd.grad(loss, scores)
        assert gradient[[2, 4]].tolist() == [0.0, 0.0]
        assert abs(gradient.sum().item()) < 1e-12


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)), st.floats(-50, 50))
def test_relabelling_and_shifting_change_nothing(order: list[int], shift: float):
    scores, groups = scores_of(8, 5), [[4], [0, 2], [1]]
    moved = torch.empty_like(scores)
    moved[torch.tensor(order)] = scores + shift
    relabelled = [[order[i] for i in reversed(group)] for group in groups]
    for loss in (pairwise_loss, plackett_luce_loss):
        assert loss(moved, relabelled).loss.item() == pytest.approx(
            loss(scores, groups).loss.item(), abs=1e-9
        )


def test_pairwise_is_the_average_over_all_pairs():
    scores = scores_of(9, 4)
    pairs = [(1, 0, 1.0), (1, 2, 1.0), (1, 3, 1.0), (0, 2, 0.5), (0, 3, 1.0), (2, 3, 1.0)]
    each = [bradley_terry_loss(scores[[i]], scores[[j]], torch.tensor([p])).loss.item() for i, j, p in pairs]
    assert pairwise_loss(scores, [[1], [0, 2], [3]]).loss.item() == pytest.approx(sum(each) / 6, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_each_prompt_weighs_as_one_unit(kind):
    """A ranking of nine and a pair, all scores equal: BT gives log 2 for both, and the mean is of two."""
    nine = RankedScores(scores_of(10, 9), [[i] for i in range(9)])
    pair = RankedScores(scores_of(11, 2), [[0], [1]])
    alone = [ranking_loss([one], kind).loss.item() for one in (nine, pair)]
    assert ranking_loss([nine, pair], kind).loss.item() == pytest.approx(sum(alone) / 2, abs=1e-12)
    # weights 3 and 1
    weighted = ranking_loss([nine._replace(weight=3.0), pair], kind).loss.item()
    assert weighted == pytest.approx((3 * alone[0] + alone[1]) / 4, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_ranking_micro_batches_add_up(kind):
    prompts = [
        RankedScores(scores_of(12, 4), [[3], [0], [1, 2]], 2.0),
        RankedScores(scores_of(13, 2), [[0, 1]], 0.5),
        RankedScores(scores_of(14, 6), [[5, 4], [0]], 1.0),
    ]
    whole = ranking_loss(prompts, kind)
    parts = [
        ranking_loss(prompts[:1], kind, total_weight=3.5),
        ranking_loss(prompts[1:], kind, total_weight=3.5),
    ]
    for name in whole._fields:
        together = sum(getattr(p, name).item() for p in parts)
        assert together == pytest.approx(getattr(whole, name).item(), abs=1e-12), name


def test_accuracy_and_margin_of_a_ranking():
    # scores 3, 1, 2 ranked 0 > 1 > 2: pairs (0,1) right, (0,2) right, (1,2) wrong; margins 2, 1, -1
    for kind in KINDS:
        out = ranking_loss([(torch.tensor([3.0, 1.0, 2.0]), [[0], [1], [2]], 1.0)], kind)
        assert out.accuracy.item() == pytest.approx(2 / 3)
        assert out.margin.item() == pytest.approx(2 / 3)
        assert not out.accuracy.requires_grad


def test_gradcheck():
    scores = scores_of(15, 5).requires_grad_()
    for kind in KINDS:
        assert torch.autograd.gradcheck(
            lambda s, kind=kind: (
                ranking_loss([(s, [[4], [0, 2, 1]], 1.0), (s, [[1, 3], [0]], 2.0)], kind).loss
            ),
            scores,
        )


def test_half_precision_is_raised():
    scores = torch.tensor([1.0, 1.0078125], dtype=torch.bfloat16)
    loss = plackett_luce_loss(scores, [[0], [1]]).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(math.exp(0.0078125)), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ranking_that_teaches_nothing_is_refused(kind):
    with pytest.raises(DataError, match="fewer than two"):
        ranking_loss([(torch.zeros(3), [[1]], 1.0)], kind)
    with pytest.raises(DataError, match="empty"):
        ranking_loss([], kind)


def test_margin_by_hand():
    chosen, rejected, margin = torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([1.0])
    out = margin_loss(chosen, rejected, margin)
    # d - m = 0: log 2; the diagnostics are of the scores as they are
    assert out.loss.item() == pytest.approx(math.log(2))
    assert (out.accuracy.item(), out.margin.item()) == (1.0, 1.0)
    # p = 0.75: 0.75 softplus(0) + 0.25 softplus(2) = 0.75 * 0.6931472 + 0.25 * 2.1269280
    soft = margin_loss(chosen, rejected, margin, torch.tensor([0.75])).loss.item()
    assert soft == pytest.approx(0.75 * 0.6931472 + 0.25 * 2.1269280, abs=1e-6)
    swapped = margin_loss(rejected, chosen, margin, torch.tensor([0.25])).loss.item()
    assert swapped == pytest.approx(soft)


def test_without_margin_it_is_bradley_terry():
    chosen, rejected, weight = scores_of(1, 6), scores_of(2, 6), scores_of(3, 6).abs()
    preference = torch.tensor([1.0, 0.5, 0.9, 0.0, 1.0, 0.3])
    one = margin_loss(chosen, rejected, torch.zeros(6), preference, weight, 5.0)
    other = bradley_terry_loss(chosen, rejected, preference, weight, 5.0)
    for x, y in zip(one, other, strict=True):
        assert x.item() == pytest.approx(y.item(), abs=1e-12)


def test_labels_of_known_noise():
    p = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    # 0.9, 0.5, 0.2 * 0.9 + 0.8 * 0.1
    assert smoothed_label(p, 0.1).tolist() == pytest.approx([0.9, 0.5, 0.26])
    # (1 - 0.1) / 0.8
    assert unbiased_label(p, 0.1).tolist()[0] == pytest.approx(1.125)
    assert unbiased_label(smoothed_label(p, 0.3), 0.3).tolist() == pytest.approx(p.tolist())


def test_unbiased_label_undoes_flips_on_average():
    """(1 - e) loss(label) + e loss(flipped label) is the loss on the clean label, for the loss and its gradient."""
    chosen, rejected = scores_of(1, 4).requires_grad_(), scores_of(2, 4)
    e, clean = 0.2, torch.tensor([1.0, 0.0, 0.7, 0.5], dtype=torch.float64)
    kept, flipped = (
        bradley_terry_loss(chosen, rejected, unbiased_label(p, e)).loss for p in (clean, 1 - clean)
    )
    noisy, plain = (1 - e) * kept + e * flipped, bradley_terry_loss(chosen, rejected, clean).loss
    assert noisy.item() == pytest.approx(plain.item(), abs=1e-12)
    one, other = (torch.autograd.grad(loss, chosen)[0] for loss in (noisy, plain))
    assert torch.allclose(one, other, atol=1e-12)
