"""A copy of a Llama-like model's weights for decoding alone: merged, fused and prepacked.

What it takes: a model of transformers whose layers are RMSNorm, rotary attention with grouped heads and
SwiGLU (Llama, Mistral, Qwen2, Qwen3), and the name of an adapter. The adapter is merged (in fp32, then
rounded to the model's precision), query, key and value become one product, gate and up another, and on a
CPU in bf16 each weight is laid out once for oneDNN. So in bf16 its log-probabilities differ from the
trainer's by rounding; in fp32 they agree. Left out on purpose: sliding windows, experts, quantisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.models.lora import LoraLinear

FAMILIES = {"llama", "mistral", "qwen2", "qwen3"}
ROPES = {"default", "linear", "llama3", "yarn"}
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries (T, heads, D), keys and values (T, kv_heads, D)) -> (T, heads * D)."""


def fits(model: Any) -> bool:
    """Whether this copy of the weights computes what `model` does."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in FAMILIES
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") in ROPES
        and all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or ())
        and (config.model_type != "mistral" or getattr(config, "sliding_window", None) is None)
        and model.get_output_embeddings().bias is None
    )


class Linear:
    """x W' + b for fixed W of shape (out, in), laid out for about `rows` rows where that pays."""

    def __init__(self, modules: Sequence[nn.Module], adapter: str | None, rows: int) -> None:
        weights = [_merged(m, adapter) for m in modules]
        biases = [getattr(m, "base", m).bias for m in modules]
        weight = torch.cat(weights) if len(weights) > 1 else weights[0]
        self.bias = None if biases[0] is None else torch.cat([b.detach() for b in biases])
        self.prepacked = _can_prepack(weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows) if self.prepacked else weight

    def __call__(self, x: Tensor) -> Tensor:
        if self.prepacked:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return F.linear(x, self.weight, self.bias)


@dataclass
class Layer:
    """One decoder layer's fused weights."""

    attention_norm: Tensor
    qkv: Linear
    query_norm: Tensor | None
    key_norm: Tensor | None
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


class FusedModel:
    """The decoding copy of a model with `adapter` merged in, for batches of about `rows` sequences."""

    def __init__(self, model: Any, adapter: str | None, rows: int) -> None:
        config, body = model.config, model.model
        self.heads = int(config.num_attention_heads)
        self.kv_heads = int(config.num_key_value_heads)
        self.eps = float(config.rms_norm_eps)
        self.embedding: Tensor = body.embed_tokens.weight.detach()
        self.head = Linear([model.get_output_embeddings()], None, rows)
        self.norm: Tensor = body.norm.weight.detach()
        self.rotary = body.rotary_emb
        self.layers = [_fuse(layer, adapter, rows) for layer in body.layers]
        self.head_width = int(body.layers[0].self_attn.head_dim)
        self.scale = float(body.layers[0].self_attn.scaling)

    def angles(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines (length, 1, D) of the rotary embedding at positions 0 to `length` - 1."""
        positions = torch.arange(length, device=self.embedding.device)[None]
        cos, sin = self.rotary(self.embedding[:1], positions)
        return cos[0, :, None], sin[0, :, None]

    def through(self, ids: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """Tokens `ids` (T,) -> hidden states (T, H) after the final norm; `attend` also keeps the cache."""
        x = F.embedding(ids, self.embedding)
        turning = self.heads + self.kv_heads
        for index, layer in enumerate(self.layers):
            qkv = layer.qkv(self._norm(x, layer.attention_norm)).view(len(x), -1, self.head_width)
            queries_keys, values = qkv[:, :turning], qkv[:, turning:]
            if layer.query_norm is not None and layer.key_norm is not None:
                queries, keys = queries_keys.split([self.heads, self.kv_heads], 1)
                both = [self._norm(queries, layer.query_norm), self._norm(keys, layer.key_norm)]
                queries_keys = torch.cat(both, 1)
            left, right = queries_keys.chunk(2, -1)
            queries_keys = queries_keys * cos + torch.cat([-right, left], -1) * sin
            queries, keys = queries_keys.split([self.heads, self.kv_heads], 1)
            x = x + layer.out(attend(index, queries, keys, values))
            gate, up = layer.gate_up(self._norm(x, layer.mlp_norm)).chunk(2, -1)
            x = x + layer.down(F.silu(gate) * up)
        return self._norm(x, self.norm)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.eps)


def _fuse(layer: Any, adapter: str | None, rows: int) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
    return Layer(
        attention_norm=layer.input_layernorm.weight.detach(),
        qkv=Linear([attention.q_proj, attention.k_proj, attention.v_proj], adapter, rows),
        query_norm=None if norms[0] is None else norms[0].weight.detach(),
        key_norm=None if norms[1] is None else norms[1].weight.detach(),
        out=Linear([attention.o_proj], adapter, rows),
        mlp_norm=layer.post_attention_layernorm.weight.detach(),
        gate_up=Linear([mlp.gate_proj, mlp.up_proj], adapter, rows),
        down=Linear([mlp.down_proj], adapter, rows),
    )


def _merged(module: nn.Module, adapter: str | None) -> Tensor:
    if isinstance(module, LoraLinear):
        return module.merged(adapter)
    assert isinstance(module, nn.Linear)
    return module.weight.detach()


def _can_prepack(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
