"""Passes over a fixed set of examples, one optimiser step a batch: what methods share that learn from pairs.

The method's own part is a function that adds the gradient of one batch and says what it saw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from torch import nn

from tutelage.core.method_settings import DirectSettings
from tutelage.core.recorder import Recorder
from tutelage.core.settings import OptimSettings, RewardSettings
from tutelage.training.loop import Optimizer, plan_batches
from tutelage.training.resume import load_checkpoint, save_checkpoint

Accumulate = Callable[[Sequence[int], int], dict[str, float]]
"""(indices of a batch, step) -> what was seen: `loss` and other numbers, and `tokens` worked on."""


class Where(TypedDict):
    """Where a training leaves its checkpoint, whom it tells, and what it draws by."""

    folder: Path
    recorder: Recorder
    seed: int


def train_on(
    parameters: Sequence[nn.Parameter],
    num_items: int,
    accumulate: Accumulate,
    settings: RewardSettings | DirectSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
    heads: Sequence[nn.Parameter] = (),
) -> None:
    """`train_epochs` over `num_items` examples in batches and epochs as the settings say."""
    train_epochs(
        parameters,
        plan_batches(num_items, settings.batch, settings.epochs, seed),
        accumulate,
        settings.optim,
        folder=folder,
        recorder=recorder,
        checkpoint_every=settings.checkpoint_every,
        heads=heads,
    )


def train_epochs(
    parameters: Sequence[nn.Parameter],
    plan: Sequence[Sequence[int]],
    accumulate: Accumulate,
    optim: OptimSettings,
    *,
    folder: Path,
    recorder: Recorder,
    checkpoint_every: int,
    heads: Sequence[nn.Parameter] = (),
) -> None:
    """Take every step of `plan` (`loop.plan_batches`), going on from the checkpoint in `folder` if there is one."""
    optimizer = Optimizer(parameters, optim, len(plan), heads)
    saved = load_checkpoint(folder)
    step = 0
    if saved is not None:
        optimizer.restore(saved["optimizer"])
        step = int(saved["step"])
    recorder.rewind(step if saved else -1)
    while step < len(plan):
        started = time.perf_counter()
        seen = accumulate(plan[step], step)
        tokens = seen.pop("tokens")
        seen["grad_norm"], seen["learning_rate"] = optimizer.step(step)
        step += 1
        recorder.log(step, **seen, tokens_per_second=tokens / (time.perf_counter() - started))
        if step % checkpoint_every == 0:
            save_checkpoint(folder, {"optimizer": optimizer.state(), "step": step})
        recorder.progress(step, len(plan), tokens, note=f"loss {seen['loss']:.3f}")
