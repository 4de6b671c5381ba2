"""Direct preference optimisation: the reward model's loss on the policy's own implicit rewards.

Takes ranked examples; leaves the policy in place. The implicit reward of a response is
beta (log pi - log pi_ref) (Rafailov et al. 2023), and what is done with it is what a reward model does:
Bradley-Terry on pairs with soft labels and weights, or Plackett-Luce on whole rankings (their appendix
A.3); IPO (Azar et al. 2023) and robust DPO (Chowdhury et al. 2024) on pairs. A prompt weighs as one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.method_settings import DpoSettings
from tutelage.core.recorder import Recorder
from tutelage.objectives.direct import DirectLoss, implicit_reward, ipo_loss, robust_dpo_loss
from tutelage.training.direct import Learner, learn, margins, micro_batches, policy_sums, reference_sums
from tutelage.training.loop import require_finite
from tutelage.training.ranked import (
    LabelledPairs,
    RankedExample,
    by_example,
    comparison_loss,
    pairs_won,
    require_comparisons,
    sequences_of,
)


def train_dpo(
    learner: Learner,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    settings: DpoSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy in place. Returns how it orders held-out comparisons by its implicit reward."""
    require_comparisons(train)
    reference = reference_sums(learner, train, settings.length_normalised)

    def step_on(chosen: Sequence[int], step: int) -> dict[str, float]:
        return accumulate(learner, [train[i] for i in chosen], [reference[i] for i in chosen], settings, step)

    return learn(learner, train, held_out, settings, step_on, folder=folder, recorder=recorder, seed=seed)


def accumulate(
    learner: Learner,
    batch: Sequence[RankedExample],
    reference: Sequence[Tensor],
    settings: DpoSettings,
    step: int,
) -> dict[str, float]:
    """Add the gradient of the batch's mean loss over prompts; returns loss, accuracy, margin, rewards and tokens."""
    device = learner.policy.device
    seen = {"loss": 0.0, "implicit_reward": 0.0}
    right, margin, pairs = 0.0, 0.0, 0.0
    with learner.policy.using(learner.adapter):
        for group in micro_batches(batch, settings.optim.micro_batch_tokens):
            examples = [batch[i] for i in group]
            together = policy_sums(learner, sequences_of(examples), settings.length_normalised)
            sums = by_example(together, examples)
            held = [reference[i].to(device) for i in group]
            losses = [prompt_loss(*each, settings) for each in zip(sums, held, examples, strict=True)]
            loss = torch.stack(losses).sum() / len(batch)
            require_finite(loss, "DPO", step)
            loss.backward()
            seen["loss"] += float(loss.detach())
            for mine, theirs, example in zip(sums, held, examples, strict=True):
                reward = implicit_reward(mine.detach(), theirs, settings.beta)
                seen["implicit_reward"] += float(reward.mean()) / len(batch)
                won, counted = pairs_won(reward, example)
                right, pairs = right + won, pairs + counted
                margin += margins(reward, example)
    tokens = float(sum(example.tokens for example in batch))
    means = {"accuracy": right, "reward_margin": margin}
    return {**seen, **{key: x / pairs if pairs else math.nan for key, x in means.items()}, "tokens": tokens}


def prompt_loss(policy: Tensor, reference: Tensor, example: RankedExample, settings: DpoSettings) -> Tensor:
    """The loss of one prompt from both log-probabilities `(K,)` of its responses."""
    if settings.loss in ("ipo", "robust"):
        pairs = example.labelled(policy.device)
        if settings.loss == "ipo":
            return _both_ways(ipo_loss, policy, reference, pairs, beta=settings.beta)
        both = {"beta": settings.beta, "flip_rate": settings.flip_rate}
        return _both_ways(robust_dpo_loss, policy, reference, pairs, **both)
    rewards = implicit_reward(policy, reference, settings.beta)
    return comparison_loss(rewards, example, settings.loss == "plackett-luce", settings.label_smoothing)


def _both_ways(
    loss: Callable[..., DirectLoss],
    policy: Tensor,
    reference: Tensor,
    pairs: LabelledPairs,
    **settings: float,
) -> Tensor:
    """A loss that knows no soft labels, of each pair as it is and turned round, by what its label says."""
    a, b, total = pairs.better, pairs.worse, pairs.weight.sum()
    agree, differ = pairs.weight * pairs.preference, pairs.weight * (1.0 - pairs.preference)
    as_is = loss(
        policy[a], policy[b], reference[a], reference[b], weight=agree, total_weight=total, **settings
    )
    turned = loss(
        policy[b], policy[a], reference[b], reference[a], weight=differ, total_weight=total, **settings
    )
    return as_is.loss + turned.loss
