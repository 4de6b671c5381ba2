"""Kahneman-Tversky optimisation: learn from single labels, good or bad, without pairs.

Takes ranked examples; leaves the policy in place. A response counts as desirable by the weight of the
comparisons that it won, and as undesirable by that of those it lost (Ethayarajh et al. 2024 split
preference pairs so too). The reference point of a step is taken over its whole batch, with every response
under a prompt that is not its own: the next one in the training set. A prompt weighs as one unit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.core.method_settings import KtoSettings
from tutelage.core.recorder import Recorder
from tutelage.objectives.direct import implicit_reward, kto_loss, kto_reference_point
from tutelage.training.direct import (
    Learner,
    learn,
    margins,
    micro_batches,
    policy_sums,
    reference_sums,
    response_sums,
)
from tutelage.training.loop import require_finite
from tutelage.training.ranked import RankedExample, by_example, pairs_won, sequences_of


def train_kto(
    learner: Learner,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    settings: KtoSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy in place. Returns how it orders held-out comparisons by its implicit reward."""
    if len({example.prompt for example in train}) < 2:
        raise DataError(
            "KTO compares with responses under other prompts, so it needs comparisons on two or more"
        )
    strangers = mismatched(train)
    reference = reference_sums(learner, train, settings.length_normalised)
    under_strangers = reference_sums(learner, strangers, settings.length_normalised)

    def step_on(chosen: Sequence[int], step: int) -> dict[str, float]:
        batch, held = [train[i] for i in chosen], [reference[i] for i in chosen]
        away, held_away = [strangers[i] for i in chosen], [under_strangers[i] for i in chosen]
        kl = reference_point(learner, away, held_away, settings)
        return accumulate(learner, batch, held, kl, settings, step)

    return learn(learner, train, held_out, settings, step_on, folder=folder, recorder=recorder, seed=seed)


def accumulate(
    learner: Learner,
    batch: Sequence[RankedExample],
    reference: Sequence[Tensor],
    kl: Tensor,
    settings: KtoSettings,
    step: int,
) -> dict[str, float]:
    """Add the gradient of the batch's mean loss over prompts; returns loss, accuracy, margin, KL and tokens.

    `kl` is the batch's `reference_point`.
    """
    device = learner.policy.device
    seen = {"loss": 0.0, "accuracy": 0.0, "implicit_reward": 0.0, "reference_point": float(kl)}
    margin, pairs = 0.0, 0.0
    with learner.policy.using(learner.adapter):
        for group in micro_batches(batch, settings.optim.micro_batch_tokens):
            examples = [batch[i] for i in group]
            sums = policy_sums(learner, sequences_of(examples), settings.length_normalised)
            held = torch.cat([reference[i] for i in group]).to(device)
            good, bad = (torch.cat(w).to(device) for w in zip(*map(label_weights, examples), strict=True))
            both_ways = torch.cat([torch.ones_like(good), torch.zeros_like(bad)]).bool()
            found = kto_loss(
                sums.repeat(2),
                held.repeat(2),
                both_ways,
                kl.to(device),
                settings.beta,
                settings.desirable_weight,
                settings.undesirable_weight,
                weight=torch.cat([good, bad]),
                total_weight=float(len(batch)),
            )
            require_finite(found.loss, "KTO", step)
            found.loss.backward()
            seen["loss"] += float(found.loss.detach())
            seen["accuracy"] += float(found.accuracy)
            rewards = implicit_reward(sums.detach(), held, settings.beta)
            for reward, example in zip(by_example(rewards, examples), examples, strict=True):
                seen["implicit_reward"] += float(reward.mean()) / len(batch)
                margin, pairs = margin + margins(reward, example), pairs + pairs_won(reward, example)[1]
    tokens = float(sum(example.tokens for example in batch))
    return {**seen, "reward_margin": margin / pairs if pairs else math.nan, "tokens": tokens}


def label_weights(example: RankedExample) -> tuple[Tensor, Tensor]:
    """How much each response `(K,)` counts as desirable and as undesirable; together they sum to 1."""
    good, bad = torch.zeros(len(example.responses)), torch.zeros(len(example.responses))
    for better, worse, preference, weight in example.pairs:
        for winner, loser, share in ((better, worse, preference), (worse, better, 1.0 - preference)):
            good[winner] += weight * share
            bad[loser] += weight * share
    total = (good.sum() + bad.sum()).clamp(min=1e-12)
    return good / total, bad / total


def mismatched(examples: Sequence[RankedExample]) -> list[RankedExample]:
    """Each example with the prompt of the next one that has another, which its responses do not answer."""
    turned: list[RankedExample] = []
    for place, example in enumerate(examples):
        later = (examples[(place + k) % len(examples)] for k in range(1, len(examples)))
        other = next(e for e in later if e.prompt != example.prompt)
        turned.append(dataclasses.replace(example, prompt=other.prompt))
    return turned


def reference_point(
    learner: Learner,
    strangers: Sequence[RankedExample],
    reference: Sequence[Tensor],
    settings: KtoSettings,
) -> Tensor:
    """KTO's z0 over the batch, from its responses under prompts that are not theirs."""
    mine = response_sums(learner.policy, learner.adapter, strangers, settings.length_normalised)
    return kto_reference_point(torch.cat(mine), torch.cat(list(reference)))
