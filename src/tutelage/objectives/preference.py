"""Losses of reward models: Bradley-Terry on pairs, with margins or noisy labels; Plackett-Luce on rankings with ties.

Scores are a reward model's, one a response, any real number; only their differences matter. A ranking is
a sequence of tie groups of indices into the scores, best first; a response that was not ranked is absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tutelage.core.errors import DataError
from tutelage.objectives.masked import at_least_float32

Groups = Sequence[Sequence[int]]
RankingKind = Literal["bradley-terry", "plackett-luce"]


class PreferenceLoss(NamedTuple):
    """`loss` carries the gradient; the rest are detached scalars, averaged as the loss is.

    `accuracy`: how often the higher score lies with the preferred response. A pair with a soft label p
    counts p or 1 - p, a pair with equal scores or an even label counts half, so swapping the sides of a
    pair changes nothing. `margin`: mean of (2p - 1)(chosen - rejected), in units of the score.
    """

    loss: Tensor
    accuracy: Tensor
    margin: Tensor


class RankedScores(NamedTuple):
    """One prompt: scores `(K,)` of its responses, their ranking, and the prompt's weight."""

    scores: Tensor
    groups: Groups
    weight: float = 1.0


def bradley_terry_loss(
    chosen: Tensor,
    rejected: Tensor,
    preference: Tensor | None = None,
    weight: Tensor | None = None,
    total_weight: Tensor | float | None = None,
) -> PreferenceLoss:
    """Negative log-likelihood of pairs (Bradley and Terry 1952; Ouyang et al. 2022, eq. 1).

    loss = -sum of w [p log sigmoid(d) + (1 - p) log sigmoid(-d)] / total_weight, d = chosen - rejected

    `chosen`, `rejected` `(N,)` are scores. `preference` p `(N,)` is the probability that `chosen` is the
    better one (1 if None, 0.5 a tie); `weight` w `(N,)` is 1 if None; `total_weight` is the sum of the
    weights unless given.
    """
    difference = at_least_float32(chosen) - at_least_float32(rejected)
    p = torch.ones_like(difference) if preference is None else preference.to(difference.dtype)
    w = torch.ones_like(difference) if weight is None else weight.to(difference.dtype)
    total = w.sum() if total_weight is None else total_weight
    log_likelihood = p * logsigmoid(difference) + (1.0 - p) * logsigmoid(-difference)
    still = difference.detach()
    accuracy = 0.5 + (p - 0.5) * torch.sign(still)
    return PreferenceLoss(
        loss=-(w * log_likelihood).sum() / total,
        accuracy=(w * accuracy).sum() / total,
        margin=(w * (2.0 * p - 1.0) * still).sum() / total,
    )


def margin_loss(
    chosen: Tensor,
    rejected: Tensor,
    margin: Tensor,
    preference: Tensor | None = None,
    weight: Tensor | None = None,
    total_weight: Tensor | float | None = None,
) -> PreferenceLoss:
    """Bradley-Terry that asks for a gap where raters saw one (Touvron et al. 2023, "Llama 2", eq. 2).

    loss = -sum of w [p log sigmoid(d - m) + (1 - p) log sigmoid(-d - m)] / total_weight

    `margin` m `(N,)`, at least 0, is in units of the score and the same for both sides of a pair; the rest is
    as in `bradley_terry_loss`, which this is where m is 0. Scores learned so are spread wider than the
    log-odds of winning: fit a temperature before they are read as probabilities.
    """
    plain = bradley_terry_loss(chosen.detach(), rejected.detach(), preference, weight, total_weight)
    d = at_least_float32(chosen) - at_least_float32(rejected)
    p = torch.ones_like(d) if preference is None else preference.to(d.dtype)
    w = torch.ones_like(d) if weight is None else weight.to(d.dtype)
    total = w.sum() if total_weight is None else total_weight
    log_likelihood = p * logsigmoid(d - margin) + (1.0 - p) * logsigmoid(-d - margin)
    return plain._replace(loss=-(w * log_likelihood).sum() / total)


def smoothed_label(preference: Tensor, wrong: float) -> Tensor:
    """p (1 - e) + (1 - p) e: what a label says if the share `wrong` e in [0, 1/2) of labels is flipped at random.

    Trained on it, a pair that all agree on is drawn to the score difference log((1 - e) / e) and no further
    (Mitchell 2023, conservative DPO; label smoothing, Szegedy et al. 2016). The estimate is biased and tame.
    """
    return preference * (1.0 - wrong) + (1.0 - preference) * wrong


def unbiased_label(preference: Tensor, flip_rate: float) -> Tensor:
    """(p - e) / (1 - 2 e): the inverse of `smoothed_label`, above 1 for a certain label.

    A loss that is linear in the label, as Bradley-Terry is, then has over random flips of the known rate e in
    [0, 1/2) the expectation that it has on clean labels (Natarajan et al. 2013, lemma 1; Chowdhury et al.
    2024 for preferences). The price is variance, and no lower bound on finite data: train few epochs.
    """
    return (preference - flip_rate) / (1.0 - 2.0 * flip_rate)


def pairwise_loss(scores: Tensor, groups: Groups) -> PreferenceLoss:
    """Bradley-Terry averaged over all pairs of one prompt's ranking (Ouyang et al. 2022, eq. 1).

    `scores` `(K,)`. Members of a tie group are pairs too, with the label 0.5. Raises `DataError` if fewer
    than two responses are ranked.
    """
    _check_informative(groups)
    places = [(index, place) for place, group in enumerate(groups) for index in group]
    pairs = [(i, j, 0.5 if a == b else 1.0) for (i, a), (j, b) in combinations(places, 2)]
    scores = at_least_float32(scores)
    better = torch.tensor([i for i, _, _ in pairs], device=scores.device)
    worse = torch.tensor([j for _, j, _ in pairs], device=scores.device)
    preference = torch.tensor([p for _, _, p in pairs], device=scores.device, dtype=scores.dtype)
    return bradley_terry_loss(scores[better], scores[worse], preference)


def plackett_luce_loss(scores: Tensor, groups: Groups) -> PreferenceLoss:
    """Negative log-likelihood of one ranking a choice made in it (Plackett 1975; ties as in Efron 1977).

    A ranking is a series of choices of the best among the responses that remain. With R the sum of e^s
    over those that remain when a tie group of size g is reached, and G the sum over the group itself,
    the group's j-th member (j = 0 .. g - 1) contributes s - log(R - (j / g) G). The choice of the very
    last response, when it is alone, says nothing and is left out; the sum of the others is divided by
    their number, so that a ranking of nine does not outweigh a pair.

    For two responses that is the Bradley-Terry loss, and for a tie of two it is the Bradley-Terry loss
    with the label 0.5, less log(2) / 2, so its minimum is at equal scores. `accuracy` and `margin` are
    over all pairs, as in `pairwise_loss`.

    `scores` `(K,)`. Raises `DataError` if fewer than two responses are ranked.
    """
    pairs = pairwise_loss(scores.detach(), groups)
    scores = at_least_float32(scores)
    order = torch.tensor([index for group in groups for index in group], device=scores.device)
    shares = torch.tensor(_log_shares(groups), device=scores.device, dtype=scores.dtype)
    ranked = scores[order]
    log_denominators = torch.logsumexp(ranked[None, :] + shares, dim=1)
    loss = (log_denominators - ranked[: len(shares)]).mean()
    return PreferenceLoss(loss=loss, accuracy=pairs.accuracy, margin=pairs.margin)


PROMPT_LOSSES: Mapping[RankingKind, Callable[[Tensor, Groups], PreferenceLoss]] = {
    "bradley-terry": pairwise_loss,
    "plackett-luce": plackett_luce_loss,
}
"""The loss of one prompt, by the name that a recipe gives it."""


def ranking_loss(
    prompts: Sequence[tuple[Tensor, Groups, float]],
    kind: RankingKind,
    total_weight: float | None = None,
) -> PreferenceLoss:
    """Weighted mean over prompts, each of which weighs as one unit however many responses it has.

    loss = sum of weight loss(prompt) / total_weight (Ouyang et al. 2022, reward modelling: the pairs
    of one prompt are far from independent, and taken singly they overfit).

    `prompts` are `RankedScores` or plain tuples of the same; `total_weight` is the sum of the weights
    unless given. Raises `DataError` for a prompt with fewer than two ranked responses, and if there is
    no prompt.
    """
    if not prompts:
        raise DataError("a batch of rankings is empty: give at least one prompt with two ranked responses")
    each = [PROMPT_LOSSES[kind](scores, groups) for scores, groups, _ in prompts]
    total = sum(weight for _, _, weight in prompts) if total_weight is None else total_weight
    shares = [weight / total for _, _, weight in prompts]
    return PreferenceLoss(
        loss=torch.stack([s * one.loss for s, one in zip(shares, each, strict=True)]).sum(),
        accuracy=torch.stack([s * one.accuracy for s, one in zip(shares, each, strict=True)]).sum(),
        margin=torch.stack([s * one.margin for s, one in zip(shares, each, strict=True)]).sum(),
    )


def _log_shares(groups: Groups) -> list[list[float]]:
    """One row a choice: log of the share with which each ranked response enters its denominator."""
    num_ranked = sum(len(group) for group in groups)
    rows: list[list[float]] = []
    start = 0
    for group in groups:
        size = len(group)
        after = num_ranked - start - size
        for j in range(size):
            rows.append([-math.inf] * start + [math.log1p(-j / size)] * size + [0.0] * after)
        start += size
    return rows[:-1] if len(groups[-1]) == 1 else rows


def _check_informative(groups: Groups) -> None:
    if sum(len(group) for group in groups) < 2:
        raise DataError("a ranking with fewer than two responses teaches nothing: leave its prompt out")
