"""Log-probability and entropy of chosen tokens, without ever holding all logits.

The head is applied to a few hundred rows at a time. Where it learns too, the backward pass computes the
logits again, so memory stays at `CHUNK * vocabulary` whatever the batch. `token_logprobs_plain` is the twin.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 256


def token_logprobs_plain(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """`hidden` (M, H), `head` (V, H), `targets` (M,) -> log-probability and entropy, (M,) fp32, nats."""
    logprobs = (F.linear(hidden, head).float() / temperature).log_softmax(-1)
    chosen = logprobs.gather(1, targets[:, None])[:, 0]
    return chosen, -(logprobs.exp() * logprobs).sum(-1)


def token_logprobs(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The same as `token_logprobs_plain`; no gradient flows through the entropy."""
    return _TokenLogprobs.apply(hidden, head, targets, temperature)


class _TokenLogprobs(torch.autograd.Function):
    """With a frozen head the gradient of each row is worked out on the way, while its probabilities are at hand."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        learns, head_learns = ctx.needs_input_grad[:2]
        chosen, entropies, slopes = [], [], []
        for rows, picked in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True):
            logprobs = _log_softmax(rows, head, temperature)
            chosen.append(logprobs.gather(1, picked[:, None])[:, 0])
            shares = logprobs.exp()
            entropies.append(-torch.linalg.vecdot(shares, logprobs))
            if learns and not head_learns:
                # d log p_t / d hidden = (head_t - the mean of head under p) / temperature
                slopes.append((head[picked] - shares.to(head.dtype) @ head).div_(temperature))
        ctx.save_for_backward(hidden, head, targets, torch.cat(slopes) if slopes else None)
        ctx.temperature = temperature
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(chosen), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        hidden, head, targets, slopes = ctx.saved_tensors
        if slopes is not None:
            return slopes.mul(grad[:, None]).to(hidden.dtype), None, None, None
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(head)
        for start in range(0, len(hidden), CHUNK):
            part = slice(start, start + CHUNK)
            weight = (grad[part] / ctx.temperature)[:, None]
            # d log p_t / d logit_v = [v is t] - p_v, over the temperature
            shares = _log_softmax(hidden[part], head, ctx.temperature).exp_().mul_(-weight)
            shares = shares.scatter_add_(1, targets[part, None], weight).to(hidden.dtype)
            grad_hidden[part] = shares @ head
            grad_head.addmm_(shares.t(), hidden[part])
        return grad_hidden, grad_head, None, None


def _log_softmax(hidden: Tensor, head: Tensor, temperature: float) -> Tensor:
    """(rows, H) -> log-probabilities (rows, V) in fp32."""
    logits = F.linear(hidden, head)
    if temperature != 1.0:
        logits = logits.float().div_(temperature)
    return logits.log_softmax(-1, dtype=torch.float32)
