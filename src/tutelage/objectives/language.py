"""The loss of supervised fine-tuning."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from tutelage.objectives.masked import masked_mean, masked_sum


class TokenNllLoss(NamedTuple):
    """`loss` carries the gradient, nats a token. Detached: `total`, the sum of the negative
    log-likelihood in nats, and `num_tokens`, how many tokens it is over. The loss of a whole validation
    set is the sum of its totals over the sum of its tokens."""

    loss: Tensor
    total: Tensor
    num_tokens: Tensor


def token_nll_loss(
    logprobs: Tensor, response_mask: Tensor, num_tokens: Tensor | float | None = None
) -> TokenNllLoss:
    """Mean negative log-likelihood of the response tokens.

    loss = -sum of logprobs over the mask / num_tokens

    `logprobs` `(B, T)` or `(N,)` are the model's for each token given those before it. `num_tokens` is
    the denominator, the number of tokens in the mask unless given. Give each micro-batch the whole
    batch's number: averaging the micro-batches' own means would weigh their tokens unequally.
    """
    return TokenNllLoss(
        loss=-masked_mean(logprobs, response_mask, num_tokens=num_tokens),
        total=-masked_sum(logprobs, response_mask).detach(),
        num_tokens=response_mask.sum(),
    )
