"""Schedule, order of batches, master weights, checks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.core.errors import TrainingError
from tutelage.core.settings import OptimSettings
from tutelage.training.loop import Optimizer, learning_rate, permutation, plan_batches, require_finite


def test_schedule_by_hand() -> None:
    settings = OptimSettings(learning_rate=1.0, warmup=0.2, floor=0.1, schedule="cosine")
    # 10 steps, 2 of warm-up: 1/2, 2/2; then 8 steps of cosine from 1 to 0.1
    assert learning_rate(0, 10, settings) == pytest.approx(0.5)
    assert learning_rate(1, 10, settings) == pytest.approx(1.0)
    assert learning_rate(2, 10, settings) == pytest.approx(1.0)
    # halfway: cosine is 0.5, so 0.1 + 0.9 * 0.5 = 0.55
    assert learning_rate(6, 10, settings) == pytest.approx(0.55)
    assert learning_rate(10, 10, settings) == pytest.approx(0.1)


def test_constant_schedule_stays() -> None:
    settings = OptimSettings(learning_rate=0.3, warmup=0.0, schedule="constant")
    assert {learning_rate(step, 7, settings) for step in range(7)} == {0.3}


def test_every_item_is_used_once_an_epoch() -> None:
    plan = plan_batches(10, 4, 3, seed=5)
    assert [len(b) for b in plan] == [4, 4, 2] * 3
    for epoch in range(3):
        assert sorted(i for b in plan[3 * epoch : 3 * epoch + 3] for i in b) == list(range(10))


def test_order_depends_on_seed_and_turn_alone() -> None:
    torch.manual_seed(0)
    first = permutation(50, 3, 1)
    torch.rand(10)
    assert permutation(50, 3, 1) == first
    assert permutation(50, 3, 2) != first
    assert permutation(50, 4, 1) != first


def test_adamw_step_equals_torch() -> None:
    settings = OptimSettings(learning_rate=0.1, warmup=0.0, schedule="constant", max_grad_norm=1e9)
    ours = nn.Parameter(torch.tensor([1.0, -2.0]))
    theirs = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Optimizer([ours], settings, 5)
    reference = torch.optim.AdamW([theirs], lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for step in range(5):
        for p in (ours, theirs):
            p.grad = torch.tensor([0.5, float(step)])
        optimizer.step(step)
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)  # another kernel: the last bit may differ


def test_a_head_has_its_own_rate() -> None:
    """Adam's first step has the size of the rate, whatever the gradient."""
    settings = OptimSettings(learning_rate=1e-3, head_learning_rate=0.1, warmup=0.0, max_grad_norm=1e9)
    body, head = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = Optimizer([body], settings, 10, heads=[head])
    body.grad, head.grad = torch.full((2,), 3.0), torch.full((2,), 3.0)
    _, rate = optimizer.step(0)
    assert rate == pytest.approx(1e-3)
    assert body.tolist() == pytest.approx([-1e-3] * 2, rel=1e-4)
    assert head.tolist() == pytest.approx([-0.1] * 2, rel=1e-4)


def test_small_updates_are_not_lost_in_bf16() -> None:
    """1 + 0.001 rounds to 1 in bf16 (its step at 1 is 1/128); the fp32 master adds them up."""
    settings = OptimSettings(learning_rate=1e-3, warmup=0.0, schedule="constant")
    parameter = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = Optimizer([parameter], settings, 20)
    for step in range(20):
        parameter.grad = -torch.ones(1, dtype=torch.bfloat16)
        optimizer.step(step)
    assert optimizer.masters[0].item() == pytest.approx(1.02, abs=1e-3)
    assert parameter.item() > 1.0


def test_broken_numbers_are_refused_before_they_reach_the_weights() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = Optimizer([parameter], OptimSettings(), 5)
    parameter.grad = torch.tensor([1.0, float("nan")])
    with pytest.raises(TrainingError, match=r"step 3 .*learning_rate"):
        optimizer.step(3)
    assert torch.equal(parameter.detach(), torch.ones(2))
    with pytest.raises(TrainingError, match="PPO loss at step 7"):
        require_finite(torch.tensor(float("inf")), "PPO", 7)
