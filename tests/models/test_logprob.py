"""Log-probabilities in chunks against all logits at once."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.models.kernels.logprob import CHUNK, token_logprobs, token_logprobs_plain


def _inputs(rows: int, vocabulary: int = 50, width: int = 6) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, width, generator=generator).requires_grad_()
    head = torch.randn(vocabulary, width, generator=generator).requires_grad_()
    return hidden, head, torch.randint(vocabulary, (rows,), generator=generator)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
@pytest.mark.parametrize("rows", [1, 7, CHUNK, CHUNK + 3])
def test_values_and_gradients_equal_the_plain_twin(rows: int, temperature: float) -> None:
    hidden, head, targets = _inputs(rows)
    fast, fast_entropy = token_logprobs(hidden, head, targets, temperature)
    plain, plain_entropy = token_logprobs_plain(hidden, head, targets, temperature)
    torch.testing.assert_close(fast, plain, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(fast_entropy, plain_entropy, atol=2e-5, rtol=1e-5)
    weight = torch.randn(rows, generator=torch.Generator().manual_seed(3))
    mine = torch.autograd.grad((fast * weight).sum(), (hidden, head))
    theirs = torch.autograd.grad((plain * weight).sum(), (hidden, head))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_even_logits_give_log_of_the_vocabulary() -> None:
    # All logits 0: p = 1/50 each, so log p = -log 50, and the entropy is log 50 = 3.912.
    hidden, head, targets = _inputs(4)
    logprob, entropy = token_logprobs(torch.zeros_like(hidden), head, targets)
    assert logprob.tolist() == pytest.approx([-math.log(50)] * 4, abs=1e-6)
    assert entropy.tolist() == pytest.approx([math.log(50)] * 4, abs=1e-5)


def test_two_logits_by_hand() -> None:
    # Logits 2 and 0 at temperature 2 are 1 and 0: p = e / (e + 1) = 0.73106, log p = -0.31326;
    # entropy = -0.73106 log 0.73106 - 0.26894 log 0.26894 = 0.22902 + 0.35318 = 0.58220.
    logprob, entropy = token_logprobs(torch.ones(1, 1), torch.tensor([[2.0], [0.0]]), torch.tensor([0]), 2.0)
    assert logprob.item() == pytest.approx(-0.31326, abs=1e-5)
    assert entropy.item() == pytest.approx(0.58220, abs=1e-5)


def test_huge_logits_stay_finite() -> None:
    hidden, head, targets = _inputs(3)
    logprob, entropy = token_logprobs(hidden * 1e4, head, targets)
    assert logprob.isfinite().all()
    assert entropy.isfinite().all()


def test_nothing_of_the_head_is_asked_for_when_it_is_frozen() -> None:
    hidden, head, targets = _inputs(3)
    token_logprobs(hidden, head.detach(), targets)[0].sum().backward()
    assert hidden.grad is not None
    assert head.grad is None
