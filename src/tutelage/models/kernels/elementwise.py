"""The norm and the gate of Llama-like layers in fewer passes over memory, and keeping less for the backward pass.

`install` puts them into a model of transformers whose layers are those of `kernels.fused.FAMILIES`. Their twins
are transformers' own modules, and the tests hold the ones to the others.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.models.kernels.fused import FAMILIES


def install(model: Any) -> None:
    """Let the model's norms and gates be computed here, if it is of a family that this fits."""
    if model.config.model_type not in FAMILIES:
        return
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = partial(_normed, module)
        elif model.config.hidden_act == "silu" and hasattr(module, "gate_proj"):
            module.forward = partial(_gated, module)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`x` (..., H) over the root of its mean square, times `weight` (H,) (Zhang and Sennrich 2019)."""
    out: Tensor = _RmsNorm.apply(x, weight, eps)  # type: ignore[assignment]
    return out


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020), both of one shape."""
    out: Tensor = _SwiGlu.apply(gate, up)  # type: ignore[assignment]
    return out


def _normed(module: Any, x: Tensor) -> Tensor:
    return rms_norm(x, module.weight, module.variance_epsilon)


def _gated(module: Any, x: Tensor) -> Tensor:
    down: nn.Module = module.down_proj
    return down(swiglu(module.gate_proj(x), module.up_proj(x)))


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_wide(x)).square_()
        scale = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        normed = torch.mul(x, scale).to(x.dtype)
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        normed, scale, weight = ctx.saved_tensors
        grad, width = grads[0], normed.shape[-1]
        grad_weight = None
        if ctx.needs_input_grad[1]:
            product = (grad * normed).view(-1, width)
            grad_weight = product.sum(0, dtype=_wide(product)).to(weight.dtype)
        slope = (grad * weight).to(_wide(grad))
        mean = torch.linalg.vecdot(slope, normed.to(slope.dtype)).div_(width)[..., None]
        return slope.addcmul_(normed, mean, value=-1).mul_(scale).to(grad.dtype), grad_weight, None


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        grad_gate = torch.ops.aten.silu_backward(grads[0] * up, gate)
        return grad_gate, F.silu(gate).mul_(grads[0])


def _wide(x: Tensor) -> torch.dtype:
    """The precision that sums are made in."""
    return torch.promote_types(x.dtype, torch.float32)
