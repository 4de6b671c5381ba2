"""Masked operations against numpy on the kept values, and deaf to what lies outside the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.objectives.masked import masked_mean, masked_sum, masked_var, masked_whiten

VALUES = torch.tensor([[1.0, 2.0, 99.0], [6.0, 99.0, 99.0]])
RESPONSE_MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_by_hand():
    # kept: 1, 2, 6; sum 9; mean 3; variance ((-2)^2 + (-1)^2 + 3^2) / 3 = 14 / 3
    assert masked_sum(VALUES, RESPONSE_MASK).item() == 9.0
    assert masked_mean(VALUES, RESPONSE_MASK).item() == 3.0
    assert masked_var(VALUES, RESPONSE_MASK).item() == pytest.approx(14 / 3)
    # rows: (1 + 2) / 2 and 6 / 1
    assert masked_mean(VALUES, RESPONSE_MASK, dim=1).tolist() == [1.5, 6.0]
    assert masked_sum(VALUES, RESPONSE_MASK, dim=1).tolist() == [3.0, 6.0]
    # a denominator of the caller's: 9 / 4.5
    assert masked_mean(VALUES, RESPONSE_MASK, num_tokens=4.5).item() == 2.0


def test_whitening_subtracts_the_mean():
    # (1 - 3, 2 - 3, 6 - 3) / sqrt(14 / 3) = (-2, -1, 3) / 2.160247
    white = masked_whiten(VALUES, RESPONSE_MASK)
    expected = torch.tensor([[-0.9258201, -0.4629100, 0.0], [1.3887301, 0.0, 0.0]])
    torch.testing.assert_close(white, expected, rtol=1e-6, atol=1e-6)
    kept = white[RESPONSE_MASK].numpy()
    assert abs(kept.mean()) < 1e-6
    assert kept.std() == pytest.approx(1.0, abs=1e-6)


def test_whitening_without_shift_keeps_the_mean():
    white = masked_whiten(VALUES, RESPONSE_MASK, shift_mean=False)
    kept = white[RESPONSE_MASK].numpy()
    assert kept.mean() == pytest.approx(3.0, abs=1e-6)
    assert kept.std() == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(white[~RESPONSE_MASK], torch.zeros(3))


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
)
def test_against_numpy_on_the_kept_values(rows: list[list[float]], seed: int):
    values = torch.tensor(rows, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    response_mask = torch.rand(values.shape, generator=generator) < 0.5
    response_mask[0, 0] = True
    kept = values[response_mask].numpy()
    assert masked_mean(values, response_mask).item() == pytest.approx(np.mean(kept), abs=1e-9)
    assert masked_var(values, response_mask).item() == pytest.approx(np.var(kept), abs=1e-8)


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), 1e30])
def test_what_lies_outside_has_no_say_and_no_gradient(rubbish: float):
    values = torch.where(RESPONSE_MASK, VALUES, rubbish).requires_grad_()
    for reduce in (masked_sum, masked_mean, masked_var):
        assert torch.equal(reduce(values, RESPONSE_MASK), reduce(VALUES, RESPONSE_MASK))
    masked_whiten(values, RESPONSE_MASK).square().sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad[~RESPONSE_MASK], torch.zeros(3))
    assert torch.isfinite(values.grad).all()


def test_micro_batches_add_up():
    whole = masked_mean(VALUES, RESPONSE_MASK)
    parts = [masked_mean(VALUES[b], RESPONSE_MASK[b], num_tokens=RESPONSE_MASK.sum()) for b in range(2)]
    assert sum(parts).item() == pytest.approx(whole.item())


def test_nothing_in_the_mask_is_zero_and_half_precision_is_raised():
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert masked_mean(VALUES, nothing).item() == 0.0
    # 4096 ones: bfloat16 cannot count past 256
    ones = torch.ones(4096, dtype=torch.bfloat16)
    assert masked_sum(ones, torch.ones(4096, dtype=torch.bool)).item() == 4096.0


def test_gradcheck():
    values = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: masked_whiten(v, RESPONSE_MASK), values)
    assert torch.autograd.gradcheck(lambda v: masked_var(v, RESPONSE_MASK), values)
