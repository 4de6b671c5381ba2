"""Losses of direct preference methods: DPO, conservative and robust DPO, IPO on pairs; KTO on single labels.

They need no reward model, because the policy holds one. The optimum of "reward less beta KL to the
reference" is pi proportional to pi_ref exp(r / beta), so up to a constant a prompt r is
beta log(pi / pi_ref) (Rafailov et al. 2023, eq. 5): the *implicit reward*, on which these losses work.

Log-probabilities are of whole responses, summed over their tokens, in nats, `(N,)`: a pair or a response
each. The reference's are constants: compute them once, without gradient. `length_normalised` turns sums
into means a token, if a variant wants them.

Left out on purpose: SimPO and ORPO, which do without a reference and so optimise something else than the
other stages do, and the likelihood of chosen responses as a further term, which is `token_nll_loss`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.objectives.kl import kl_k1
from tutelage.objectives.masked import at_least_float32
from tutelage.objectives.preference import bradley_terry_loss


class DirectLoss(NamedTuple):
    """`loss` carries the gradient; the rest are detached scalars, averaged as the loss is.

    `accuracy`: share of pairs whose chosen response has the higher implicit reward, equal ones counting
    half. `margin`: mean of chosen less rejected implicit reward, nats times beta. `chosen_reward`,
    `rejected_reward`: means of either; both falling together is common, and only the margin is trained.
    They are of the labels as given: smoothing does not enter.
    """

    loss: Tensor
    accuracy: Tensor
    margin: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor


class KtoLoss(NamedTuple):
    """`loss` carries the gradient; the rest are detached scalars, averaged as the loss is.

    `accuracy`: share of responses whose implicit reward is on the right side of the reference point,
    above it if desirable, those on it counting half. `margin`: mean distance from it, counted positive on
    the right side, nats times beta.

    `desirable_reward`, `undesirable_reward`: sums of the implicit rewards over one kind, yet over the
    weight of *both*, so that micro-batches add up. `desirable_share`: weight of the desirable over that
    of both. The mean reward of the desirable is `desirable_reward / desirable_share`, and of the others
    `undesirable_reward / (1 - desirable_share)`; divide after the micro-batches are added.
    """

    loss: Tensor
    accuracy: Tensor
    margin: Tensor
    desirable_reward: Tensor
    undesirable_reward: Tensor
    desirable_share: Tensor


def implicit_reward(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """beta (log pi - log pi_ref), `(N,)` in nats times beta (Rafailov et al. 2023, eq. 5, less its constant).

    `policy`, `reference` `(N,)` are log-probabilities of the same responses.
    """
    return beta * kl_k1(policy, reference)


def length_normalised(logprobs: Tensor, lengths: Tensor) -> Tensor:
    """Mean log-probability a token, `(N,)`, from sums `logprobs` `(N,)` and numbers of tokens `lengths` `(N,)`.

    Give policy and reference alike to any loss here. Its log-ratios are then smaller by the length, so it
    wants a beta larger by about as much. A response without tokens has the mean 0.
    """
    return at_least_float32(logprobs) / lengths.clamp(min=1)


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
    total_weight: Tensor | float | None = None,
) -> DirectLoss:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7): Bradley-Terry on implicit rewards.

    loss = -sum of w [(1 - e) log sigmoid(m) + e log sigmoid(-m)] / total_weight,
    m = beta (log-ratio of chosen - log-ratio of rejected), log-ratio = log pi - log pi_ref

    `label_smoothing` e in [0, 1/2) is the share of labels taken to be wrong (conservative DPO, Mitchell
    2023): the margin of a pair is then drawn to log((1 - e) / e) and no further, in place of infinity.
    The loss is biased by it; `robust_dpo_loss` is not.

    Log-probabilities `(N,)`; `weight` w `(N,)` is 1 if None; `total_weight` is the sum of the weights
    unless given.
    """
    chosen = implicit_reward(policy_chosen, reference_chosen, beta)
    rejected = implicit_reward(policy_rejected, reference_rejected, beta)
    return _bradley_terry(chosen, rejected, 1.0 - label_smoothing, weight, total_weight)


def robust_dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
    flip_rate: float,
    weight: Tensor | None = None,
    total_weight: Tensor | float | None = None,
) -> DirectLoss:
    """DPO for labels of which a known share is flipped (Chowdhury et al. 2024, "Provably robust DPO").

    loss = [(1 - e) dpo(chosen, rejected) - e dpo(rejected, chosen)] / (1 - 2e), averaged as `dpo_loss`

    With `flip_rate` e in [0, 1/2) the true one, the loss has the expectation over flips that `dpo_loss`
    has on clean labels. The price is variance, and that on finite data it has no lower bound: a pair's
    slope tends to -e / (1 - 2e) as its margin grows, so stop by a validation set.

    It is Bradley-Terry with the label (1 - e) / (1 - 2e), which is above 1. Log-probabilities `(N,)`;
    `weight` `(N,)` is 1 if None; `total_weight` is the sum of the weights unless given.
    """
    chosen = implicit_reward(policy_chosen, reference_chosen, beta)
    rejected = implicit_reward(policy_rejected, reference_rejected, beta)
    label = (1.0 - flip_rate) / (1.0 - 2.0 * flip_rate)
    return _bradley_terry(chosen, rejected, label, weight, total_weight)


def ipo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
    weight: Tensor | None = None,
    total_weight: Tensor | float | None = None,
) -> DirectLoss:
    """Identity preference optimisation (Azar et al. 2023, eq. 17, whose tau is `beta`).

    loss = sum of w (h - 1 / (2 beta))^2 / total_weight, h = log-ratio of chosen - log-ratio of rejected

    Where DPO draws a pair that all agree on to an infinite margin, IPO stops at h = 1 / (2 beta), whose
    implicit margin is 1/2. If both responses of a pair are drawn from mu, each by itself, the optimum is pi
    proportional to pi_ref exp(p(y) / beta), p(y) being how often y is preferred to an opponent from mu.

    As in the paper, h is of sums over tokens. Fed with `length_normalised` log-probabilities it is the
    variant in TRL, whose beta is in other units. Log-probabilities `(N,)`; `weight` w `(N,)` is 1 if
    None; `total_weight` is the sum of the weights unless given.
    """
    chosen = implicit_reward(policy_chosen, reference_chosen, beta)
    rejected = implicit_reward(policy_rejected, reference_rejected, beta)
    log_ratio = kl_k1(policy_chosen, reference_chosen) - kl_k1(policy_rejected, reference_rejected)
    loss = _weighted_mean((log_ratio - 1.0 / (2.0 * beta)).square(), weight, total_weight)
    return _with_diagnostics(loss, chosen, rejected, weight, total_weight)


def kto_reference_point(policy_mismatched: Tensor, reference_mismatched: Tensor) -> Tensor:
    """KTO's z0, a detached scalar in nats: max(0, mean of log pi - log pi_ref) over mismatched pairs.

    Ethayarajh et al. 2024, section 4. Both `(M,)` are summed log-probabilities of responses given a prompt
    that is *not theirs*, for which a batch's responses are moved on by one. It stands in for
    KL(pi || pi_ref), and is biased, since the responses were not drawn from pi.

    The maximum does not add up: take it over the whole batch, and give all its micro-batches the same.
    """
    return kl_k1(policy_mismatched, reference_mismatched).mean().clamp(min=0.0).detach()


def kto_loss(
    policy_logprobs: Tensor,
    reference_logprobs: Tensor,
    desirable: Tensor,
    kl: Tensor,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    weight: Tensor | None = None,
    total_weight: Tensor | float | None = None,
) -> KtoLoss:
    """Kahneman-Tversky optimisation from single labels (Ethayarajh et al. 2024, eq. 8).

    loss = sum of w lambda (1 - sigmoid(s beta (log-ratio - kl))) / total_weight

    s is 1 and lambda `desirable_weight` where `desirable` `(N,)` is True, else -1 and
    `undesirable_weight`. `kl` is the scalar of `kto_reference_point`, from which no gradient is taken.
    The two lambdas make up for unequal numbers of either kind: lambda times number should be about alike.
    They are no part of the denominator.

    Each response is held between 0 and lambda, and one that is far on the wrong side has no slope, so an
    outrageous label does little harm. Log-probabilities `(N,)`; `weight` w `(N,)` is 1 if None;
    `total_weight` is the sum of the weights unless given.
    """
    reward = implicit_reward(policy_logprobs, reference_logprobs, beta)
    is_desirable = desirable.to(reward.dtype)
    signed = (2.0 * is_desirable - 1.0) * (reward - beta * kl.detach())
    scale = desirable_weight * is_desirable + undesirable_weight * (1.0 - is_desirable)
    # sigmoid(-s) and not 1 - sigmoid(s), which has lost its digits once s passes 17 in float32
    losses = scale * torch.sigmoid(-signed)
    still, reward = signed.detach(), reward.detach()
    return KtoLoss(
        loss=_weighted_mean(losses, weight, total_weight),
        accuracy=_weighted_mean(0.5 + 0.5 * torch.sign(still), weight, total_weight),
        margin=_weighted_mean(still, weight, total_weight),
        desirable_reward=_weighted_mean(is_desirable * reward, weight, total_weight),
        undesirable_reward=_weighted_mean((1.0 - is_desirable) * reward, weight, total_weight),
        desirable_share=_weighted_mean(is_desirable, weight, total_weight),
    )


def _bradley_terry(
    chosen: Tensor,
    rejected: Tensor,
    label: float,
    weight: Tensor | None,
    total_weight: Tensor | float | None,
) -> DirectLoss:
    preference = torch.full_like(chosen, label)
    loss = bradley_terry_loss(chosen, rejected, preference, weight, total_weight).loss
    return _with_diagnostics(loss, chosen, rejected, weight, total_weight)


def _with_diagnostics(
    loss: Tensor,
    chosen: Tensor,
    rejected: Tensor,
    weight: Tensor | None,
    total_weight: Tensor | float | None,
) -> DirectLoss:
    """The loss of pairs with implicit rewards `chosen` and `rejected`, and what they say of the labels."""
    chosen, rejected = chosen.detach(), rejected.detach()
    pairs = bradley_terry_loss(chosen, rejected, None, weight, total_weight)
    return DirectLoss(
        loss=loss,
        accuracy=pairs.accuracy,
        margin=pairs.margin,
        chosen_reward=_weighted_mean(chosen, weight, total_weight),
        rejected_reward=_weighted_mean(rejected, weight, total_weight),
    )


def _weighted_mean(values: Tensor, weight: Tensor | None, total_weight: Tensor | float | None) -> Tensor:
    w = torch.ones_like(values) if weight is None else weight.to(values.dtype)
    return (w * values).sum() / (w.sum() if total_weight is None else total_weight)
