"""The value head's loss and the loss of supervised fine-tuning."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tutelage.objectives.language import token_nll_loss
from tutelage.objectives.value import clipped_value_loss, explained_variance

RESPONSE_MASK = torch.tensor([[True, True, True, False], [True, True, False, False]])


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values, old, returns = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    return values, old, returns


def test_value_loss_by_hand():
    values = torch.tensor([[0.9, 0.9, 0.1, 0.5]], requires_grad=True)
    old, returns = torch.tensor([[0.5, 0.5, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    out = clipped_value_loss(values, old, returns, torch.ones(1, 4, dtype=torch.bool), clip=0.2)
    # token 0: v 0.9 held at 0.7, R 1: max(0.01, 0.09) = 0.09, clipped
    # token 1: v 0.9 held at 0.7, R 0: max(0.81, 0.49) = 0.81
    # token 2: v 0.1 within 0 +- 0.2, R 1: 0.81
    # token 3: v 0.5 held at 0.2, R 1: max(0.25, 0.64) = 0.64, clipped
    # 0.5 * (0.09 + 0.81 + 0.81 + 0.64) / 4 = 0.29375
    assert out.loss.item() == pytest.approx(0.29375)
    assert out.clip_fraction.item() == pytest.approx(1 / 2)
    # (v - R) / 4 where not clipped
    (gradient,) = torch.autograd.grad(out.loss, values)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.225, -0.225, 0.0]]))


def test_value_loss_with_a_wide_clip_is_half_the_squared_error():
    values, old, returns = batch(1)
    out = clipped_value_loss(values, old, returns, RESPONSE_MASK, clip=1e6)
    error = torch.nn.functional.mse_loss(values[RESPONSE_MASK], returns[RESPONSE_MASK])
    assert out.loss.item() == pytest.approx(0.5 * error.item(), rel=1e-12)
    assert out.clip_fraction.item() == 0.0


def test_value_loss_outside_the_mask_and_gradcheck():
    values, old, returns = (torch.where(RESPONSE_MASK, t, math.nan) for t in batch(2))
    values.requires_grad_()
    out = clipped_value_loss(values, old, returns, RESPONSE_MASK, clip=0.3)
    (gradient,) = torch.autograd.grad(out.loss, values)
    assert torch.equal(gradient[~RESPONSE_MASK], torch.zeros(3, dtype=torch.float64))
    assert torch.isfinite(out.loss)
    values, old, returns = batch(2)
    assert torch.autograd.gradcheck(
        lambda v: clipped_value_loss(v, old, returns, RESPONSE_MASK, 0.3).loss, values.requires_grad_()
    )


def test_value_loss_micro_batches_add_up():
    values, old, returns = batch(3)
    whole = clipped_value_loss(values, old, returns, RESPONSE_MASK, 0.3)
    parts = [
        clipped_value_loss(values[b], old[b], returns[b], RESPONSE_MASK[b], 0.3, num_tokens=5)
        for b in range(2)
    ]
    assert sum(p.loss.item() for p in parts) == pytest.approx(whole.loss.item(), abs=1e-12)
    assert sum(p.clip_fraction.item() for p in parts) == pytest.approx(whole.clip_fraction.item())


def test_explained_variance():
    values, _, returns = batch(4)
    kept_values, kept_returns = values[RESPONSE_MASK].numpy(), returns[RESPONSE_MASK].numpy()
    expected = 1 - np.var(kept_returns - kept_values) / np.var(kept_returns)
    assert explained_variance(values, returns, RESPONSE_MASK).item() == pytest.approx(expected, rel=1e-12)
    # perfect up to a shift is 1; a constant explains nothing; the mirror image is worse than a constant
    assert explained_variance(returns + 3.0, returns, RESPONSE_MASK).item() == pytest.approx(1.0)
    assert explained_variance(torch.full_like(returns, 2.0), returns, RESPONSE_MASK).item() == pytest.approx(
        0.0
    )
    # Var(R - -R) / Var(R) = 4
    assert explained_variance(-returns, returns, RESPONSE_MASK).item() == pytest.approx(-3.0)
    assert math.isnan(explained_variance(values, torch.ones(2, 4), RESPONSE_MASK).item())


def test_nll_by_hand_and_as_cross_entropy():
    logprobs = torch.log(torch.tensor([[0.5, 0.25, 0.9], [0.125, 0.9, 0.9]]))
    response_mask = torch.tensor([[True, True, False], [True, False, False]])
    out = token_nll_loss(logprobs, response_mask)
    # (log 2 + log 4 + log 8) / 3 = 2 log 2
    assert out.loss.item() == pytest.approx(2 * math.log(2))
    assert out.total.item() == pytest.approx(6 * math.log(2))
    assert out.num_tokens.item() == 3

    logits, targets = torch.randn(2, 3, 7), torch.randint(7, (2, 3))
    ignored = torch.where(response_mask, targets, -100)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ignored.flatten())
    picked = torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0]
    assert token_nll_loss(picked, response_mask).loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_nll_micro_batches_add_up_where_means_of_means_do_not():
    generator = torch.Generator().manual_seed(5)
    logprobs = -torch.rand(2, 4, generator=generator, dtype=torch.float64)
    whole = token_nll_loss(logprobs, RESPONSE_MASK).loss.item()
    rows = [token_nll_loss(logprobs[b], RESPONSE_MASK[b], num_tokens=5) for b in range(2)]
    assert sum(r.loss.item() for r in rows) == pytest.approx(whole, rel=1e-12)
    assert sum(r.total.item() for r in rows) / 5 == pytest.approx(whole, rel=1e-12)
    naive = [token_nll_loss(logprobs[b], RESPONSE_MASK[b]).loss.item() for b in range(2)]
    assert abs(sum(naive) / 2 - whole) > 1e-3


def test_nll_outside_the_mask_and_gradcheck():
    generator = torch.Generator().manual_seed(6)
    logprobs = -torch.rand(2, 4, generator=generator, dtype=torch.float64)
    dirty = torch.where(RESPONSE_MASK, logprobs, -math.inf).requires_grad_()
    out = token_nll_loss(dirty, RESPONSE_MASK)
    (gradient,) = torch.autograd.grad(out.loss, dirty)
    assert torch.equal(gradient, -RESPONSE_MASK.double() / 5)
    assert torch.autograd.gradcheck(
        lambda lp: token_nll_loss(lp, RESPONSE_MASK).loss, logprobs.requires_grad_()
    )
