"""The reward model: learn to score responses as raters ranked them.

Takes ranked examples; leaves the reward model in place, calibrated. Bradley-Terry on all pairs (plain, with
margins, or for labels of known noise) or Plackett-Luce on whole rankings with ties; each prompt weighs as
one unit and its responses share a batch element (Ouyang et al. 2022, section 3.4). `training/measure.py` says
how good it is, `training/ensemble.py` and `training/perspectives.py` train several at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.core.recorder import Recorder
from tutelage.core.settings import RewardSettings
from tutelage.models.packed import by_tokens
from tutelage.models.reward import RewardModel, Scorer
from tutelage.objectives.preference import bradley_terry_loss, margin_loss, unbiased_label
from tutelage.stats.within import within_slope
from tutelage.training.epochs import Where, train_on
from tutelage.training.loop import require_finite
from tutelage.training.measure import Scored, measure, pair_accuracy, scored
from tutelage.training.probe import fit_head
from tutelage.training.ranked import (
    RankedExample,
    by_example,
    comparison_loss,
    pairs_won,
    require_comparisons,
    sequences_of,
)
from tutelage.training.resume import FILE

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
    require_comparisons(train)
    if settings.probe_prompts and not (folder / FILE).exists():
        fit_head(model, train[: settings.probe_prompts], settings.optim.micro_batch_tokens)
    where: Where = {"folder": folder, "recorder": recorder, "seed": seed}
    train_on(
        trunk_parameters(model),
        len(train),
        lambda chosen, step: accumulate(model, [train[i] for i in chosen], settings, step),
        settings,
        heads=[model.head.weight],
        **where,
    )
    return calibrate(model, train, held_out, settings.length_debias)


def calibrate(
    model: Scorer,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    length_debias: bool = False,
) -> dict[str, Any]:
    """Fix the model's temperature and the mean and deviation of its scores; return the measurements.

    With `length_debias`, also its slope on length, which is taken off before the rest is fixed.
    """
    # Examples are in the order of their ids, which are hashes: the first are as good as drawn at random.
    model.length_slope = 0.0
    seen = scored(model, train[:LOOKED_AT])
    if length_debias:
        model.length_slope = length_slope(seen)
        seen = [(example, scores - model.length_slope * lengths(example)) for example, scores in seen]
    model.mean, model.std = mean_and_deviation(seen)
    measured = measure(scored(model, held_out))
    model.temperature = measured["temperature"]
    measured["length_slope"] = model.length_slope
    measured["trained_on"] = {"prompts": len(train), "comparisons": sum(len(e.pairs) for e in train)}
    measured["training_accuracy"] = pair_accuracy(seen)
    return measured


def mean_and_deviation(seen: Sequence[Scored]) -> tuple[float, float]:
    """Of all scores together; the deviation is kept above zero."""
    together = torch.cat([scores for _, scores in seen])
    return float(together.mean()), max(float(together.std()), 1e-6)


def lengths(example: RankedExample) -> Tensor:
    """Tokens of each response, `(K,)`."""
    return torch.tensor([float(len(response)) for response in example.responses])


def length_slope(seen: Sequence[Scored]) -> float:
    """What a response's score gains a token, among the responses to one prompt."""
    scores = torch.cat([scores for _, scores in seen])
    tokens = torch.cat([lengths(example) for example, _ in seen])
    prompts = [example.prompt_id for example, _ in seen for _ in example.responses]
    return within_slope(scores.numpy(), tokens.numpy(), prompts)


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
    seen = Seen()
    for group in by_tokens([example.tokens for example in batch], settings.optim.micro_batch_tokens):
        examples = [batch[i] for i in group]
        scores = by_example(model.raw(sequences_of(examples)), examples)
        seen.learn(scores, examples, [1.0 / len(batch)] * len(examples), settings, step)
    return seen.metrics(batch)


@dataclass
class Seen:
    """What a step saw: the loss so far, and the pairs that scores ordered as raters did, of how many."""

    loss: float = 0.0
    right: float = 0.0
    pairs: float = 0.0

    def learn(
        self,
        scores: Sequence[Tensor],
        examples: Sequence[RankedExample],
        shares: Sequence[float],
        settings: RewardSettings,
        step: int,
    ) -> None:
        """Add the gradient of the sum over prompts of share times loss; `scores` `(K,)` a prompt."""
        each = zip(shares, scores, examples, strict=True)
        loss = torch.stack([share * prompt_loss(s, e, settings) for share, s, e in each]).sum()
        require_finite(loss, "reward", step)
        loss.backward()
        self.loss += float(loss.detach())
        for s, e in zip(scores, examples, strict=True):
            won, counted = pairs_won(s.detach(), e)
            self.right, self.pairs = self.right + won, self.pairs + counted

    def metrics(self, batch: Sequence[RankedExample]) -> dict[str, float]:
        """What is logged of a step on `batch`."""
        accuracy = self.right / self.pairs if self.pairs else float("nan")
        tokens = float(sum(example.tokens for example in batch))
        return {"loss": self.loss, "accuracy": accuracy, "tokens": tokens}


def prompt_loss(scores: Tensor, example: RankedExample, settings: RewardSettings) -> Tensor:
    """The loss of one prompt, whose scores are `(K,)`: one unit, however many pairs or rankings it has."""
    return _preference_loss(scores, example, settings) + settings.score_l2 * scores.square().mean()


def _preference_loss(scores: Tensor, example: RankedExample, settings: RewardSettings) -> Tensor:
    if settings.loss in ("bradley-terry", "plackett-luce"):
        whole = settings.loss == "plackett-luce"
        return comparison_loss(scores, example, whole, settings.label_smoothing)
    pairs = example.labelled(scores.device)
    better, worse = scores[pairs.better], scores[pairs.worse]
    if settings.loss == "robust":
        label = unbiased_label(pairs.preference, settings.flip_rate)
        return bradley_terry_loss(better, worse, label, pairs.weight).loss
    margin = settings.margin * example.gaps(scores.device)
    return margin_loss(better, worse, margin, pairs.preference, pairs.weight).loss
