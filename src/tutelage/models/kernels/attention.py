"""Attention over packed sequences, and over a key-value cache while decoding.

`transformers` calls it through its `AttentionInterface` under the name `NAME`, so any model that
supports that interface runs unpadded, and what sequences share is computed once (`models.packed`).
`packed_attention` lays the pieces of a pack into a padded grid (`kernels.layout`) and multiplies in blocks of
queries, its backward pass written out; `packed_attention_plain` is its twin, one call of PyTorch's own
attention a piece, and the tests hold the one to the other.

Why not PyTorch's fused attention alone: its backward pass on a CPU took several times as long
(see `docs/experiments.md`), and a mask over the whole pack would cost the square of the pack's length.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from tutelage.core.errors import ModelError
from tutelage.models.kernels.layout import Layout, layout_of
from tutelage.models.packed import Packed

NAME = "tutelage"


def packed_attention_plain(query: Tensor, key: Tensor, value: Tensor, packed: Packed, scale: float) -> Tensor:
    """Causal attention within each sequence: `query` (heads, N, D) -> (N, heads, D).

    `key` and `value` are (kv_heads, N, D); each is shared by heads / kv_heads query heads.
    """
    outputs: list[Tensor] = []
    for number, (piece, offset) in enumerate(zip(packed.pieces, packed.offsets, strict=True)):
        own = slice(offset, offset + piece.length)
        k, v = key[:, own], value[:, own]
        how: dict[str, Any] = {"is_causal": True}
        if piece.parent >= 0:
            path = torch.tensor(packed.path(number), device=query.device)
            k, v = key.index_select(1, path), value.index_select(1, path)
            seen = torch.ones(piece.length, len(path), dtype=torch.bool, device=query.device)
            how = {"attn_mask": seen.tril(len(path) - piece.length)}
        found = F.scaled_dot_product_attention(
            query[None, :, own], k[None], v[None], scale=scale, enable_gqa=True, **how
        )
        outputs.append(found[0])
    return torch.cat(outputs, 1).transpose(0, 1)


def packed_attention(query: Tensor, key: Tensor, value: Tensor, packed: Packed, scale: float) -> Tensor:
    """The same as `packed_attention_plain`, faster forward and backward on a CPU."""
    layout = layout_of(packed, query.shape[0], key.shape[0])
    by_token = [x.transpose(0, 1).reshape(-1, x.shape[-1]) for x in (query, key, value)]
    out: Tensor = _GridAttention.apply(*by_token, layout, scale)  # type: ignore[assignment]
    return out.view(layout.tokens, layout.heads, -1)


def attend_packed(query: Tensor, key: Tensor, value: Tensor, packed: Packed, scale: float) -> Tensor:
    """The faster of the two for the device: on a GPU PyTorch's own kernels are."""
    attend = packed_attention if query.device.type == "cpu" else packed_attention_plain
    return attend(query, key, value, packed, scale)


class _GridAttention(torch.autograd.Function):
    """softmax(scale q k' + bias) v on the grid: (N * heads, D) and twice (N * kv_heads, D) -> (N * heads, D)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float) -> Tensor:
        width = query.shape[1]
        q = query.index_select(0, layout.query_tokens).view(-1, layout.group, layout.own, width)
        k = key.index_select(0, layout.key_tokens).view(len(q), -1, width)
        v = value.index_select(0, layout.key_tokens).view(len(q), -1, width)
        out = torch.empty_like(q)
        kept: list[Tensor] = []
        for start, end, count in layout.blocks():
            rows = q[:count, :, start:end].reshape(count, -1, width)
            last = layout.above + end
            bias = layout.bias(start, end, q.dtype)
            weights = torch.baddbmm(bias, rows, k[:count, :last].transpose(1, 2), alpha=scale).softmax(-1)
            found = torch.bmm(weights, v[:count, :last])
            out[:count, :, start:end] = found.view(count, layout.group, -1, width)
            kept.append(weights)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.layout, ctx.scale = layout, scale
        return out.view(-1, width).index_select(0, layout.query_places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *kept = ctx.saved_tensors
        layout, width = ctx.layout, q.shape[-1]
        grad = torch.zeros_like(q).view(-1, width).index_copy_(0, layout.query_places, grads[0]).view_as(q)
        grad_q = torch.empty_like(q)
        # Where tokens are shared many rows add to one: in fp32, whatever the precision of the rest.
        wide = torch.promote_types(k.dtype, torch.float32)
        grad_k, grad_v = (torch.zeros_like(x, dtype=wide) for x in (k, v))
        for (start, end, count), weights in zip(layout.blocks(), kept, strict=True):
            rows = q[:count, :, start:end].reshape(count, -1, width)
            grad_out = grad[:count, :, start:end].reshape(count, -1, width)
            last = layout.above + end
            grad_weights = torch.bmm(grad_out, v[:count, :last].transpose(1, 2))
            grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_rows = torch.bmm(grad_logits, k[:count, :last]).mul_(ctx.scale)
            grad_q[:count, :, start:end] = grad_rows.view(count, layout.group, -1, width)
            grad_k[:count, :last] += torch.bmm(grad_logits.transpose(1, 2), rows)
            grad_v[:count, :last] += torch.bmm(weights.transpose(1, 2), grad_out)
        summed = [
            F.embedding_bag(layout.key_bags, x.view(-1, width), layout.key_bag_starts, mode="sum").to(k.dtype)
            for x in (grad_k.mul_(ctx.scale), grad_v)
        ]
        return grad_q.view(-1, width).index_select(0, layout.query_places), *summed, None, None


def _interface(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    packed: Packed | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What `transformers` calls: (B, heads, T, D) in, (B, T, heads, D) out. Raises `ModelError`."""
    longest = key.shape[2] if packed is None else max(packed.lengths)
    if sliding_window is not None and longest > sliding_window:
        raise ModelError(
            f"this model looks back over {sliding_window} tokens only, and a sequence has {longest}: "
            "lower tokens.max_prompt and tokens.max_response"
        )
    if softcap is not None:
        raise ModelError("this model caps its attention logits, which is not supported: choose another base")
    if packed is None and attention_mask is None and query.shape[2] > 1:
        raise ModelError(
            f"a {type(module).__name__} cannot be run without padding: choose another model.base"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if packed is not None:
        return attend_packed(query[0], key[0], value[0], packed, scale)[None], None
    batch, heads, length, width = query.shape
    if length == 1:
        # One new token: the query heads that share a key head become rows, so keys are not repeated.
        query = query.view(batch, key.shape[1], heads // key.shape[1], width)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scale)
        return out.reshape(batch, 1, heads, width), None
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scale, enable_gqa=True
    )
    return out.transpose(1, 2), None


def register() -> None:
    """Make the attention known to `transformers` under `NAME`; calling it again changes nothing."""
    AttentionInterface.register(NAME, _interface)
