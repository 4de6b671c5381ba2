"""Attention over packed sequences, and over a key-value cache while decoding.

`transformers` calls it through its `AttentionInterface` under the name `NAME`, so any model that
supports that interface runs unpadded. A sequence may be a prompt with several branches behind it, which
see the prompt and themselves (`models.packed`). `packed_attention` groups the sequences into a padded grid and
multiplies in blocks of queries; `packed_attention_plain` is its twin, one call of PyTorch's own
attention a sequence, and the tests hold the one to the other.

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
from tutelage.models.packed import Branches

NAME = "tutelage"
BLOCK = 128


def packed_attention_plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scale: float,
    branches: Branches | None = None,
) -> Tensor:
    """Causal attention within each sequence: `query` (heads, N, D) -> (N, heads, D).

    `key` and `value` are (kv_heads, N, D); each is shared by heads / kv_heads query heads.
    """
    pieces = zip(query.split(lengths, 1), key.split(lengths, 1), value.split(lengths, 1), strict=True)
    outputs: list[Tensor] = []
    for place, (q, k, v) in enumerate(pieces):
        how: dict[str, Any] = {"is_causal": True}
        if branches is not None:
            how = {
                "attn_mask": _visible(_branch_of(branches[place : place + 1], lengths[place], q.device))[0]
            }
        outputs.append(
            F.scaled_dot_product_attention(q[None], k[None], v[None], scale=scale, enable_gqa=True, **how)[0]
        )
    return torch.cat(outputs, 1).transpose(0, 1)


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scale: float,
    branches: Branches | None = None,
) -> Tensor:
    """The same as `packed_attention_plain`, faster forward and backward on a CPU."""
    heads, _, width = query.shape
    kv_heads, batch, longest = key.shape[0], len(lengths), max(lengths)
    group = heads // kv_heads
    grid = _grid(lengths, query.device)
    q = _to_grid(query, grid, batch, longest)
    k = _to_grid(key, grid, batch, longest).reshape(batch * kv_heads, longest, width)
    v = _to_grid(value, grid, batch, longest).reshape(batch * kv_heads, longest, width)
    q = q.view(batch, kv_heads, group, longest, width)
    visible = None if branches is None else _visible(_branch_of(branches, longest, query.device))
    blocks: list[Tensor] = []
    for start in range(0, longest, BLOCK):
        end = min(start + BLOCK, longest)
        rows = q[:, :, :, start:end].reshape(batch * kv_heads, group * (end - start), width)
        bias = _bias(start, end, q) if visible is None else _hidden(visible[:, start:end, :end], q)
        bias = bias.repeat(1, group, 1).repeat_interleave(kv_heads if len(bias) > 1 else 1, 0)
        out = _BlockAttention.apply(rows, k[:, :end], v[:, :end], bias, scale)
        blocks.append(out.view(batch, kv_heads, group, end - start, width))
    out = torch.cat(blocks, 3) if len(blocks) > 1 else blocks[0]
    out = out.permute(0, 3, 1, 2, 4).reshape(batch * longest, heads, width)
    return out if grid is None else out.index_select(0, grid)


def attend_packed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scale: float,
    branches: Branches | None = None,
) -> Tensor:
    """The faster of the two for the device: on a GPU PyTorch's own kernels are."""
    attend = packed_attention if query.device.type == "cpu" else packed_attention_plain
    return attend(query, key, value, lengths, scale, branches)


class _BlockAttention(torch.autograd.Function):
    """softmax(scale q k' + bias) v by batched products, with the backward pass written out."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        weights = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale = scale
        return torch.bmm(weights, v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q, k, v, weights = ctx.saved_tensors
        grad = grad.contiguous()
        grad_weights = torch.bmm(grad, v.transpose(1, 2))
        grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        grad_v = torch.bmm(weights.transpose(1, 2), grad)
        grad_q = torch.bmm(grad_logits, k).mul_(ctx.scale)
        grad_k = torch.bmm(grad_logits.transpose(1, 2), q).mul_(ctx.scale)
        return grad_q, grad_k, grad_v, None, None


def _grid(lengths: tuple[int, ...], device: torch.device) -> Tensor | None:
    """Where each packed token sits in the padded (batch * longest) grid; None if nothing is padded."""
    longest = max(lengths)
    if all(n == longest for n in lengths):
        return None
    return torch.cat([torch.arange(n) + i * longest for i, n in enumerate(lengths)]).to(device)


def _to_grid(x: Tensor, grid: Tensor | None, batch: int, longest: int) -> Tensor:
    """(heads, N, D) -> (batch, heads, longest, D), zeros where there is no token."""
    heads, _, width = x.shape
    rows = x.transpose(0, 1)
    if grid is not None:
        rows = rows.new_zeros(batch * longest, heads, width).index_copy(0, grid, rows)
    return rows.reshape(batch, longest, heads, width).transpose(1, 2)


def _bias(start: int, end: int, like: Tensor) -> Tensor:
    """(1, end - start, end): 0 where a query row may look, minus infinity ahead of it.

    Sequences are padded on the right, so causality alone keeps every token away from the padding.
    """
    rows = torch.arange(start, end, device=like.device)[:, None]
    return _hidden((torch.arange(end, device=like.device)[None, :] <= rows)[None], like)


def _hidden(visible: Tensor, like: Tensor) -> Tensor:
    """0 where visible, minus infinity elsewhere."""
    return torch.zeros(visible.shape, dtype=like.dtype, device=like.device).masked_fill_(
        ~visible, float("-inf")
    )


def _branch_of(branches: Branches, longest: int, device: torch.device) -> Tensor:
    """(batch, longest): 0 in the prompt, 1, 2, ... in its branches, -1 in the padding."""
    found = torch.full((len(branches), longest), -1, device=device)
    for row, lengths in enumerate(branches):
        ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        found[row, : len(ids)] = ids.to(device)
    return found


def _visible(branch: Tensor) -> Tensor:
    """(batch, longest, longest): whether a token sees another: earlier, and in the prompt or its own branch."""
    place = torch.arange(branch.shape[1], device=branch.device)
    seen, looking = branch[:, None, :], branch[:, :, None]
    return (place[None, :] <= place[:, None]) & ((seen == 0) | (seen == looking))


def _interface(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sequence_lengths: tuple[int, ...] | None = None,
    sequence_branches: Branches | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What `transformers` calls: (B, heads, T, D) in, (B, T, heads, D) out. Raises `ModelError`."""
    longest = key.shape[2] if sequence_lengths is None else max(sequence_lengths)
    if sliding_window is not None and longest > sliding_window:
        raise ModelError(
            f"this model looks back over {sliding_window} tokens only, and a sequence has {longest}: "
            "lower tokens.max_prompt and tokens.max_response"
        )
    if softcap is not None:
        raise ModelError("this model caps its attention logits, which is not supported: choose another base")
    if sequence_lengths is None and attention_mask is None and query.shape[2] > 1:
        raise ModelError(
            f"a {type(module).__name__} cannot be run without padding: choose another model.base"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if sequence_lengths is not None:
        out = attend_packed(query[0], key[0], value[0], sequence_lengths, scale, sequence_branches)
        return out[None], None
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
