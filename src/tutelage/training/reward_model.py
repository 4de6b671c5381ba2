"""The reward model: learn to score responses as raters ranked them.

Takes ranked examples; leaves the reward model in `folder/model`, calibrated. Bradley-Terry on all pairs
or Plackett-Luce on whole rankings with ties; each prompt weighs as one unit and its responses share a
batch element (Ouyang et al. 2022, section 3.4). `training/measure.py` says how good it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.core.errors import DataError
from tutelage.core.recorder import Recorder
from tutelage.core.settings import RewardSettings
from tutelage.models.packed import by_tokens
from tutelage.models.reward import RewardModel
from tutelage.training.epochs import train_epochs
from tutelage.training.loop import plan_batches, require_finite
from tutelage.training.measure import measure, pair_accuracy, scored
from tutelage.training.ranked import RankedExample, comparison_loss, pairs_won

LOOKED_AT = 200
"""Training prompts that the mean and deviation of scores, and the training accuracy, are taken from."""


def train_reward_model(
    model: RewardModel,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    settings: RewardSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, Any]:
    """Train `model` in place, calibrate it on `held_out`, and return what was measured there."""
    if not train:
        raise DataError("there are no comparisons to train on: name some under data.comparisons")
    train_epochs(
        trunk_parameters(model),
        plan_batches(len(train), settings.batch, settings.epochs, seed),
        lambda chosen, step: accumulate(model, [train[i] for i in chosen], settings, step),
        settings.optim,
        folder=folder,
        recorder=recorder,
        checkpoint_every=settings.checkpoint_every,
        heads=[model.head.weight],
    )
    return calibrate(model, train, held_out)


def calibrate(
    model: RewardModel, train: Sequence[RankedExample], held_out: Sequence[RankedExample]
) -> dict[str, Any]:
    """Fix the model's temperature and the mean and deviation of its scores; return the measurements."""
    # Examples are in the order of their ids, which are hashes: the first are as good as drawn at random.
    seen = scored(model, train[:LOOKED_AT])
    fitted = torch.cat([scores for _, scores in seen])
    model.mean, model.std = float(fitted.mean()), max(float(fitted.std()), 1e-6)
    measured = measure(scored(model, held_out))
    model.temperature = measured["temperature"]
    measured["trained_on"] = {"prompts": len(train), "comparisons": sum(len(e.pairs) for e in train)}
    measured["training_accuracy"] = pair_accuracy(seen)
    return measured


def trunk_parameters(model: RewardModel) -> list[nn.Parameter]:
    """The adapter's parameters, or the whole trunk's but for a language-model head of its own."""
    if model.adapter is not None:
        return model.trunk.adapter_parameters(model.adapter)
    head = model.trunk.model.get_output_embeddings().weight
    tied = head is model.trunk.model.get_input_embeddings().weight
    return [p for p in model.trunk.model.parameters() if p.requires_grad and (tied or p is not head)]


def accumulate(
    model: RewardModel, batch: Sequence[RankedExample], settings: RewardSettings, step: int
) -> dict[str, float]:
    """Add the gradient of the batch's mean loss over prompts; returns loss, pair accuracy and tokens."""
    total, right, pairs = 0.0, 0.0, 0.0
    for group in by_tokens([example.tokens for example in batch], settings.optim.micro_batch_tokens):
        examples = [batch[i] for i in group]
        together = model.raw([pair for example in examples for pair in example.sequences])
        scores = together.split([len(example.responses) for example in examples])
        losses = [prompt_loss(s, e, settings) for s, e in zip(scores, examples, strict=True)]
        loss = torch.stack(losses).sum() / len(batch)
        require_finite(loss, "reward", step)
        loss.backward()
        total += float(loss.detach())
        for s, e in zip(scores, examples, strict=True):
            won, counted = pairs_won(s.detach(), e)
            right, pairs = right + won, pairs + counted
    tokens = float(sum(example.tokens for example in batch))
    return {"loss": total, "accuracy": right / pairs if pairs else float("nan"), "tokens": tokens}


def prompt_loss(scores: Tensor, example: RankedExample, settings: RewardSettings) -> Tensor:
    """The loss of one prompt, whose scores are `(K,)`: one unit, however many pairs or rankings it has."""
    loss = comparison_loss(scores, example, settings.loss == "plackett-luce")
    return loss + settings.score_l2 * scores.square().mean()
