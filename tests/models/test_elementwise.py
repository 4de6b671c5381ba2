"""The norm and the gate against transformers' own modules, and against finite differences."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.models.helpers import plain_model, sequences
from tutelage.models.kernels import elementwise
from tutelage.models.kernels.elementwise import rms_norm, swiglu
from tutelage.models.packed import pack_apart


def _draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def test_gradients_by_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-5), (_draw(2, 3, 5), _draw(5, seed=1)))
    assert torch.autograd.gradcheck(swiglu, (_draw(4, 3), _draw(4, 3, seed=1)))


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_the_norm_equals_its_twin(dtype: torch.dtype, near: float) -> None:
    twin = LlamaRMSNorm(16, eps=1e-5).to(dtype)
    with torch.no_grad():
        twin.weight.copy_(_draw(16, seed=2, dtype=dtype))
    found = []
    for norm in (twin, lambda x: rms_norm(x, twin.weight, 1e-5)):
        x = _draw(7, 16, dtype=dtype)
        twin.weight.grad = None
        out = norm(x)
        out.backward(_draw(7, 16, seed=3, dtype=dtype).detach())
        found.append((out.detach(), x.grad, twin.weight.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=near, rtol=near)


def test_a_model_says_the_same_with_them(tiny_folder: Path) -> None:
    plain = plain_model(tiny_folder)
    ours = copy.deepcopy(plain)
    elementwise.install(ours)
    packed = pack_apart(sequences((5,)))
    found = []
    for model in (plain, ours):
        out = model(input_ids=packed.ids[None]).logits
        out.square().mean().backward()
        found.append((out.detach(), [p.grad for p in model.parameters()]))
    (logits, gradients), (other, others) = found
    assert torch.allclose(logits, other, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, others, strict=True))


def test_a_copy_of_the_model_computes_with_its_own_weights(tiny_folder: Path) -> None:
    model = plain_model(tiny_folder)
    elementwise.install(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    ids = torch.tensor([[1, 2, 3]])
    assert float(other(input_ids=ids).logits.detach().abs().max()) == 0.0
    assert float(model(input_ids=ids).logits.detach().abs().max()) > 0.0


def test_a_family_that_it_does_not_fit_is_left_alone(tiny_folder: Path) -> None:
    model = plain_model(tiny_folder)
    model.config.model_type = "gemma2"
    elementwise.install(model)
    assert not any("forward" in vars(module) for module in model.modules())
