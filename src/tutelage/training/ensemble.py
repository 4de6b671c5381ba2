"""An ensemble of reward models, trained together: one pass of the shared layers, then each member in turn.

Each member learns from its own bootstrap sample (Efron 1979): as many prompts as there are, drawn with
replacement once for the whole training. A member skips what it did not draw, about a third, and its own layers
cost that much less. Members see their prompts in one order, because what they share is computed once for a
batch; so without the draw (`ensemble.bootstrap: false`) they differ by where adapter and head begin and by
nothing else. Networks trained from nothing do better that way (Lakshminarayanan et al. 2017); these all begin
at one trunk.

Gradients of members never meet, and the bound on their norm is for all of them together: that of one member
times the root of their number, which is the same where they are alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.core.recorder import Recorder
from tutelage.core.settings import RewardSettings
from tutelage.models.ensemble import RewardEnsemble, Shared
from tutelage.models.packed import by_tokens
from tutelage.stats.diversity import disagreement, mean_correlation
from tutelage.training.epochs import Where, train_on
from tutelage.training.loop import derived_seed
from tutelage.training.measure import Scored, measure, pairs_of
from tutelage.training.ranked import RankedExample, by_example, require_comparisons, sequences_of
from tutelage.training.reward_model import LOOKED_AT, Seen, calibrate, mean_and_deviation

_DRAWS = 1_000_000
"""Turn of the first member's draw, beyond those of any epoch's order."""


def train_ensemble(
    model: RewardEnsemble,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    settings: RewardSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, Any]:
    """Train all members in place, calibrate them and the whole on `held_out`, and return what was measured."""
    require_comparisons(train)
    count = len(model.members)
    drawn = draws(count, len(train), seed) if settings.ensemble.bootstrap else torch.ones(count, len(train))
    bound = {"max_grad_norm": settings.optim.max_grad_norm * math.sqrt(count)}
    where: Where = {"folder": folder, "recorder": recorder, "seed": seed}
    train_on(
        [p for member in range(count) for p in model.own_parameters(member)],
        len(train),
        lambda chosen, step: accumulate(model, [train[i] for i in chosen], drawn[:, chosen], settings, step),
        settings.model_copy(update={"optim": settings.optim.model_copy(update=bound)}),
        heads=[one.head.weight for one in model.members],
        **where,
    )
    scale_members(model, train[:LOOKED_AT])
    measured = calibrate(model, train, held_out, settings.length_debias)
    measured["ensemble"] = measure_members(model, held_out)
    return measured


def draws(members: int, prompts: int, seed: int) -> Tensor:
    """How often each member drew each prompt, `(members, prompts)`: every row sums to `prompts`."""
    rows: list[Tensor] = []
    for member in range(members):
        generator = torch.Generator().manual_seed(derived_seed(seed, _DRAWS + member))
        drawn = torch.randint(prompts, (prompts,), generator=generator)
        rows.append(torch.bincount(drawn, minlength=prompts).float())
    return torch.stack(rows)


def accumulate(
    model: RewardEnsemble,
    batch: Sequence[RankedExample],
    weights: Tensor,
    settings: RewardSettings,
    step: int,
) -> dict[str, float]:
    """Add each member's gradient of its weighted mean loss over prompts; `weights` are `(members, prompts)`.

    Returns loss and pair accuracy, means over members, and the batch's tokens.
    """
    seen = Seen()
    for group in by_tokens([example.tokens for example in batch], settings.optim.micro_batch_tokens):
        examples = [batch[i] for i in group]
        shared = model.shared(sequences_of(examples))
        for member, row in enumerate(weights[:, group].tolist()):
            kept = [place for place, weight in enumerate(row) if weight > 0]
            if not kept:
                continue
            drawn = [examples[place] for place in kept]
            scores = by_example(model.member_raw(member, _only(shared, examples, kept)), drawn)
            seen.learn(scores, drawn, [row[place] / len(batch) for place in kept], settings, step)
    seen.loss /= len(model.members)
    return seen.metrics(batch)


def _only(shared: Shared, examples: Sequence[RankedExample], kept: Sequence[int]) -> Shared:
    """The shared work on the responses of the examples at the places `kept`."""
    if len(kept) == len(examples):
        return shared
    places = by_example(torch.arange(len(shared.pairs)), examples)
    return shared.only([i for place in kept for i in places[place].tolist()])


def scale_members(model: RewardEnsemble, looked_at: Sequence[RankedExample]) -> None:
    """Fix each member's own mean and deviation, so that their scores can be compared."""
    for one in model.members:
        one.mean, one.std = 0.0, 1.0
    for one, seen in zip(model.members, _scored(model, looked_at), strict=True):
        one.mean, one.std = mean_and_deviation(seen)


def measure_members(model: RewardEnsemble, held_out: Sequence[RankedExample]) -> dict[str, Any]:
    """What the members are by themselves, on average, and how far they differ; fixes their temperatures."""
    each = _scored(model, held_out)
    margins = np.array([[pair.margin for pair in pairs_of(items)] for items in each])
    if margins.size == 0:
        return {"members": len(each)}
    measured: list[dict[str, Any]] = []
    for one, items in zip(model.members, each, strict=True):
        # on the member's own scale, so that it has the temperature that it would have by itself
        measured.append(measure([(example, scores * one.std + one.mean) for example, scores in items]))
        one.temperature = measured[-1]["temperature"]
    return {
        "members": len(each),
        "correlation": mean_correlation(margins),
        "disagreement": disagreement(margins),
        "member_accuracy": float(np.mean([found["accuracy"]["value"] for found in measured])),
        "member_ece_after": float(np.mean([found["ece_after"] for found in measured])),
        "member_brier": float(np.mean([found["brier"] for found in measured])),
    }


def _scored(model: RewardEnsemble, examples: Sequence[RankedExample]) -> list[list[Scored]]:
    """For each member, its scores `(K,)` of each example's responses."""
    flat = model.member_scores(sequences_of(examples))
    return [list(zip(examples, by_example(row, examples), strict=True)) for row in flat]
