"""A reward model with several perspectives: each comparison teaches the head of its own category.

The trunk, or its adapter, learns from all of them. The weights of the recipe say how much of each head's score
is in the reward; they play no part in training. Heads are in units of log-odds, as Bradley-Terry makes them, so
a weight of 2 counts a perspective's preferences twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.core.errors import DataError
from tutelage.core.recorder import Recorder
from tutelage.core.settings import PerspectiveSettings, RewardSettings
from tutelage.models.packed import by_tokens
from tutelage.models.perspectives import PerspectiveModel
from tutelage.training.epochs import Where, train_on
from tutelage.training.measure import Scored, measure
from tutelage.training.ranked import RankedExample, by_example, require_comparisons, sequences_of
from tutelage.training.reward_model import LOOKED_AT, Seen, calibrate, mean_and_deviation, trunk_parameters


def train_perspectives(
    model: PerspectiveModel,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    settings: RewardSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, Any]:
    """Train `model` in place, calibrate its weighted sum on `held_out`, and return what was measured there."""
    require_comparisons(train)
    heads = heads_of(train, settings.perspectives)
    where: Where = {"folder": folder, "recorder": recorder, "seed": seed}
    train_on(
        trunk_parameters(model),
        len(train),
        lambda chosen, step: accumulate(
            model, [train[i] for i in chosen], [heads[i] for i in chosen], settings, step
        ),
        settings,
        heads=[head.get_parameter("weight") for head in model.heads.heads],
        **where,
    )
    measured = calibrate(model, train, held_out, settings.length_debias)
    measured["perspectives"] = measure_each(model, held_out, settings.perspectives)
    scale_each(model, train, heads)
    return measured


def scale_each(model: PerspectiveModel, train: Sequence[RankedExample], heads: Sequence[int]) -> None:
    """Fix each head's mean and deviation, on some of the responses that it learnt from."""
    for index, name in enumerate(model.names):
        own = [example for example, head in zip(train, heads, strict=True) if head == index][:LOOKED_AT]
        if own:
            scores = by_example(model.perspective_scores(sequences_of(own))[index], own)
            model.scales[name] = mean_and_deviation(list(zip(own, scores, strict=True)))


def heads_of(examples: Sequence[RankedExample], perspectives: Mapping[str, PerspectiveSettings]) -> list[int]:
    """Which head each example teaches. Raises `DataError` for a category that no perspective names."""
    place = {c: index for index, one in enumerate(perspectives.values()) for c in one.categories}
    lost = next((example.category for example in examples if example.category not in place), None)
    if lost is not None:
        what = f"of the category '{lost}'" if lost else "without a category"
        raise DataError(
            f"there are comparisons {what}, and no perspective learns from them: name it ('{lost}') under one "
            "of reward.perspectives, or leave these rows out"
        )
    return [place[example.category] for example in examples]


def accumulate(
    model: PerspectiveModel,
    batch: Sequence[RankedExample],
    heads: Sequence[int],
    settings: RewardSettings,
    step: int,
) -> dict[str, float]:
    """Add the gradient of the batch's mean loss over prompts, each through its own head."""
    seen = Seen()
    for group in by_tokens([example.tokens for example in batch], settings.optim.micro_batch_tokens):
        examples = [batch[i] for i in group]
        columns = by_example(model.raw_by_perspective(sequences_of(examples)), examples, 1)
        scores = [scores[heads[i]] for scores, i in zip(columns, group, strict=True)]
        seen.learn(scores, examples, [1.0 / len(batch)] * len(examples), settings, step)
    return seen.metrics(batch)


def measure_each(
    model: PerspectiveModel,
    held_out: Sequence[RankedExample],
    perspectives: Mapping[str, PerspectiveSettings],
) -> dict[str, Any]:
    """For each perspective, its head's accuracy and calibration on the held-out comparisons of its categories."""
    found: dict[str, Any] = {}
    for index, (name, one) in enumerate(perspectives.items()):
        own = [example for example in held_out if example.category in one.categories]
        scores = model.perspective_scores(sequences_of(own))[index]
        items: list[Scored] = list(zip(own, by_example(scores, own), strict=True))
        measured = measure(items)
        found[name] = {
            key: measured.get(key) for key in ("accuracy", "temperature", "ece_after", "measured_on")
        }
    return found
