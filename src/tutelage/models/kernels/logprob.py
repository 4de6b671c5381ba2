"""Log-probability and entropy of chosen tokens, without ever holding all logits.

The head is applied to a few hundred rows at a time and its backward pass computes the logits again, so
memory stays at `CHUNK * vocabulary` whatever the batch. `token_logprobs_plain` is the twin.
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
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        chosen, entropies, normalisers = [], [], []
        for rows, picked in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True):
            logits = F.linear(rows, head).float()
            if temperature != 1.0:
                logits.div_(temperature)
            normaliser = logits.logsumexp(-1)
            chosen.append(logits.gather(1, picked[:, None])[:, 0] - normaliser)
            shares = (logits - normaliser[:, None]).exp_()
            entropies.append(normaliser - (shares * logits).sum(-1))
            normalisers.append(normaliser)
        ctx.save_for_backward(hidden, head, targets, torch.cat(normalisers))
        ctx.temperature = temperature
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(chosen), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        hidden, head, targets, normalisers = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        grad_head = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), CHUNK):
            part = slice(start, start + CHUNK)
            logits = F.linear(hidden[part], head).float()
            weight = (grad[part] / ctx.temperature)[:, None]
            # d log p_t / d logit_v = [v is t] - p_v, over the temperature
            shares = logits.div_(ctx.temperature).sub_(normalisers[part, None]).exp_().mul_(-weight)
            shares = shares.scatter_add_(1, targets[part, None], weight).to(hidden.dtype)
            grad_hidden[part] = shares @ head
            if grad_head is not None:
                grad_head.addmm_(shares.t(), hidden[part])
        return grad_hidden, grad_head, None, None
