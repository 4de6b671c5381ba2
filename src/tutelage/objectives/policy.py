"""The clipped policy loss of PPO and GRPO, the KL to the reference as a loss, and weights for samples that
another engine drew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.objectives.kl import kl_k3, limited_exp
from tutelage.objectives.masked import at_least_float32, masked, masked_mean, masked_sum


class PpoPolicyLoss(NamedTuple):
    """`loss` carries the gradient. The rest are detached scalars over the tokens in the mask.

    `clip_fraction`: share of tokens on which clipping takes the gradient away. `approx_kl`: mean k3 of
    KL(old || new), nats a token. `ratio_mean`, `ratio_max`, `ratio_min`: of new over old probability;
    with no token in the mask the last two are -inf and inf.
    """

    loss: Tensor
    clip_fraction: Tensor
    approx_kl: Tensor
    ratio_mean: Tensor
    ratio_max: Tensor
    ratio_min: Tensor


class PolicyRatio(NamedTuple):
    """How far a policy has moved on some tokens: detached scalars, of which `PpoPolicyLoss` says what they are."""

    approx_kl: Tensor
    ratio_mean: Tensor
    ratio_max: Tensor
    ratio_min: Tensor


class KlPenaltyLoss(NamedTuple):
    """`loss` carries the gradient. `kl` is detached: the estimate's mean over the tokens, nats a token."""

    loss: Tensor
    kl: Tensor


def _reduced(
    token_loss: Tensor, response_mask: Tensor, token_weights: Tensor | None, num_tokens: Tensor | float | None
) -> Tensor:
    """The sum of weight times loss, or the mean over tokens where there are no weights."""
    if token_weights is None:
        return masked_mean(token_loss, response_mask, num_tokens=num_tokens)
    return masked_sum(token_loss * token_weights.detach(), response_mask)


def policy_ratio(
    logprobs: Tensor, old_logprobs: Tensor, response_mask: Tensor, num_tokens: Tensor | float | None = None
) -> PolicyRatio:
    """New over old probability of the tokens in the mask, and the KL between the two policies.

    All `(B, T)` or `(N,)`, `num_tokens` as for the policy loss. Without gradient. On tokens that were not
    drawn from the old policy as it is (chosen among its samples, say), `approx_kl` measures how far it
    moved there and estimates no divergence.
    """
    still = logprobs.detach()
    ratio = limited_exp(masked(still, response_mask) - masked(old_logprobs, response_mask).detach())
    return PolicyRatio(
        approx_kl=masked_mean(kl_k3(old_logprobs, still), response_mask, num_tokens=num_tokens),
        ratio_mean=masked_mean(ratio, response_mask, num_tokens=num_tokens),
        ratio_max=torch.where(response_mask, ratio, -torch.inf).amax(),
        ratio_min=torch.where(response_mask, ratio, torch.inf).amin(),
    )


def ppo_policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    clip: float,
    importance_weights: Tensor | None = None,
    num_tokens: Tensor | float | None = None,
    *,
    clip_high: float | None = None,
    token_weights: Tensor | None = None,
) -> PpoPolicyLoss:
    """PPO's clipped surrogate, negated (Schulman et al. 2017, eq. 7), averaged over all tokens in the mask.

    loss = mean of w max(-A rho, -A clip(rho, 1 - clip, 1 + clip_high)), rho = exp(logprobs - old_logprobs)

    `clip_high` is `clip` if None; a larger one leaves unlikely tokens more room to grow (Yu et al. 2025,
    DAPO, eq. 10).

    All tensors `(B, T)` or `(N,)`. `old_logprobs` are the policy's own before the update, computed as
    `logprobs` are; what the sampler said enters through `importance_weights` w, from
    `truncated_importance_weights` (1 if None). Gradient flows through `logprobs` only.

    Every token weighs the same, so a long response weighs more than a short one. `num_tokens` is the
    denominator, the number of tokens in the mask unless given. `token_weights`, from `objectives.groups`,
    replace that mean: loss = sum of token_weights times token loss; the diagnostics stay means over tokens.
    rho is held at e^+-20, where the gradient is zero.
    """
    highest = 1.0 + (clip if clip_high is None else clip_high)
    log_ratio = masked(logprobs, response_mask) - masked(old_logprobs, response_mask).detach()
    ratio = limited_exp(log_ratio)
    advantages = masked(advantages, response_mask).detach()
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip, highest)
    token_loss = torch.maximum(unclipped, clipped)
    if importance_weights is not None:
        token_loss = token_loss * masked(importance_weights, response_mask).detach()

    moved = policy_ratio(logprobs, old_logprobs, response_mask, num_tokens)
    return PpoPolicyLoss(
        loss=_reduced(token_loss, response_mask, token_weights, num_tokens),
        clip_fraction=masked_mean(
            (clipped > unclipped).to(ratio.dtype), response_mask, num_tokens=num_tokens
        ),
        approx_kl=moved.approx_kl,
        ratio_mean=moved.ratio_mean,
        ratio_max=moved.ratio_max,
        ratio_min=moved.ratio_min,
    )


def kl_penalty_loss(
    logprobs: Tensor,
    reference_logprobs: Tensor,
    response_mask: Tensor,
    token_weights: Tensor | None = None,
    num_tokens: Tensor | float | None = None,
    estimator: Callable[[Tensor, Tensor], Tensor] = kl_k3,
) -> KlPenaltyLoss:
    """The KL to the reference as a term of the loss (Shao et al. 2024, GRPO, eq. 3 and 4), without its beta.

    loss = sum of token_weights times estimator(logprobs, reference_logprobs), or the mean over all tokens
    in the mask without weights

    `(B, T)` or `(N,)`, in nats. `estimator` is one of `objectives.kl`; `num_tokens` as for the policy loss.
    Gradient flows through `logprobs` only.

    The trap: an unbiased estimate has not an unbiased gradient (Tang and Munos 2025), because the tokens'
    own probabilities are not differentiated. On tokens drawn from the policy, the expected gradient is

    | estimator | that of                 | because the slope in log policy is      |
    |-----------|-------------------------|-----------------------------------------|
    | k1        | nothing: it is zero     | 1, and the mean of grad log policy is 0 |
    | k2        | KL(policy || reference) | d = log policy - log reference          |
    | k3        | KL(reference || policy) | 1 - reference / policy                  |

    so GRPO's term, k3, pulls towards covering the reference, and k2 is the one that the KL-regularised
    objective asks for. This is the KL of the next token; that a token changes which contexts come after it
    is left out (a KL in the rewards has it). On tokens of an older policy none of the three is exact.
    """
    estimate = estimator(masked(logprobs, response_mask), masked(reference_logprobs, response_mask).detach())
    return KlPenaltyLoss(
        loss=_reduced(estimate, response_mask, token_weights, num_tokens),
        kl=masked_mean(estimate.detach(), response_mask, num_tokens=num_tokens),
    )


def truncated_importance_weights(
    trainer_logprobs: Tensor, sampler_logprobs: Tensor, response_mask: Tensor, cap: float
) -> Tensor:
    """min(p_trainer / p_sampler, cap) a token: corrects for a sampler whose probabilities differ.

    Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"; truncation
    after Ionides 2008. Both log-probabilities `(B, T)` or `(N,)` are of the same weights before the
    update. Zero outside the mask, without gradient.
    """
    log_ratio = at_least_float32(trainer_logprobs) - at_least_float32(sampler_logprobs)
    return masked(limited_exp(log_ratio).clamp(max=cap), response_mask).detach()
