"""The reward model: learn to score responses as raters ranked them.

Takes ranked examples; leaves the reward model in `folder/model`, calibrated. Bradley-Terry on all pairs
or Plackett-Luce on whole rankings with ties; each prompt weighs as one unit and its responses share a
batch element (Ouyang et al. 2022, section 3.4). `training/measure.py` says how good it is.
"""

from __future__ import annotations

import time
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
from tutelage.objectives.preference import bradley_terry_loss, ranking_loss
from tutelage.training.loop import Optimizer, plan_batches, require_finite
from tutelage.training.measure import measure, pair_accuracy, scored
from tutelage.training.ranked import RankedExample
from tutelage.training.resume import load_checkpoint, save_checkpoint


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
    parameters = reward_parameters(model)
    plan = plan_batches(len(train), settings.batch, settings.epochs, seed)
    optimizer = Optimizer(parameters, settings.optim, len(plan))
    saved = load_checkpoint(folder)
    step = 0
    if saved is not None:
        optimizer.restore(saved["optimizer"])
        step = int(saved["step"])
    recorder.rewind(step if saved else -1)
    while step < len(plan):
        started = time.perf_counter()
        batch = [train[i] for i in plan[step]]
        loss, accuracy = accumulate(model, batch, settings, step)
        norm, rate = optimizer.step(step)
        step += 1
        tokens = sum(example.tokens for example in batch)
        speed = tokens / (time.perf_counter() - started)
        recorder.log(
            step, loss=loss, accuracy=accuracy, learning_rate=rate, grad_norm=norm, tokens_per_second=speed
        )
        if step % settings.checkpoint_every == 0:
            save_checkpoint(folder, {"optimizer": optimizer.state(), "step": step})
        recorder.progress(step, len(plan), tokens, note=f"loss {loss:.3f}")
    return calibrate(model, train, held_out)


def calibrate(
    model: RewardModel, train: Sequence[RankedExample], held_out: Sequence[RankedExample]
) -> dict[str, Any]:
    """Fix the model's temperature and the mean and deviation of its scores; return the measurements."""
    seen = scored(model, train)
    fitted = torch.cat([scores for _, scores in seen])
    model.mean, model.std = float(fitted.mean()), max(float(fitted.std()), 1e-6)
    measured = measure(scored(model, held_out))
    model.temperature = measured["temperature"]
    measured["trained_on"] = {"prompts": len(train), "comparisons": sum(len(e.pairs) for e in train)}
    measured["training_accuracy"] = pair_accuracy(seen)
    return measured


def reward_parameters(model: RewardModel) -> list[nn.Parameter]:
    """The adapter's (or the whole trunk's) parameters and the score head."""
    if model.adapter is not None:
        return [*model.trunk.adapter_parameters(model.adapter), model.head.weight]
    head = model.trunk.model.get_output_embeddings().weight
    tied = head is model.trunk.model.get_input_embeddings().weight
    body = [p for p in model.trunk.model.parameters() if p.requires_grad and (tied or p is not head)]
    return [*body, model.head.weight]


def accumulate(
    model: RewardModel, batch: Sequence[RankedExample], settings: RewardSettings, step: int
) -> tuple[float, float]:
    """Add the gradient of the batch's mean loss over prompts; returns the loss and the pair accuracy."""
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
            won, counted = _won(s.detach(), e)
            right, pairs = right + won, pairs + counted
    return total, right / pairs if pairs else float("nan")


def prompt_loss(scores: Tensor, example: RankedExample, settings: RewardSettings) -> Tensor:
    """The loss of one prompt, whose scores are `(K,)`: one unit, however many pairs or rankings it has."""
    if settings.loss == "plackett-luce" and example.rankings:
        loss = ranking_loss([(scores, *ranked) for ranked in example.rankings], settings.loss).loss
    else:
        better = torch.tensor([p[0] for p in example.pairs], device=scores.device)
        worse = torch.tensor([p[1] for p in example.pairs], device=scores.device)
        preference = scores.new_tensor([p[2] for p in example.pairs])
        weight = scores.new_tensor([p[3] for p in example.pairs])
        loss = bradley_terry_loss(scores[better], scores[worse], preference=preference, weight=weight).loss
    return loss + settings.score_l2 * scores.square().mean()


def _won(scores: Tensor, example: RankedExample) -> tuple[float, float]:
    strict = [(i, j) for i, j, preference, _ in example.pairs if preference > 0.5]
    won = sum(float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]) for i, j in strict)
    return won, float(len(strict))
