"""Supervised fine-tuning: learn to answer as the demonstrations do.

Takes demonstrations; leaves the weights with the lowest validation loss, in `folder/model`. The loss is
the mean negative log-likelihood of the response tokens alone; sequences are packed without padding and
cannot see each other. It stops early when validation has not improved for `patience` looks.
Left out on purpose: distributed training (scale/) and mixing in pretraining text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tutelage.core.errors import DataError
from tutelage.core.recorder import Recorder
from tutelage.core.records import Demonstration
from tutelage.core.settings import SftSettings
from tutelage.data.tokens import TokenContract
from tutelage.models.packed import by_tokens
from tutelage.models.scoring import Pair, predicting, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.objectives.language import token_nll_loss
from tutelage.training.loop import Optimizer, plan_batches, require_finite
from tutelage.training.resume import load_checkpoint, save_checkpoint


@dataclass
class SftState:
    """Where training stands. `best` are the weights at the lowest validation loss so far."""

    step: int
    best_loss: float
    since_best: int
    best: list[Tensor]


def train_sft(
    trunk: Trunk,
    adapter: str | None,
    train: Sequence[Demonstration],
    validation: Sequence[Demonstration],
    settings: SftSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train `adapter` (or the whole trunk if None) and leave its best weights in place. Returns metrics."""
    examples = encode(train, trunk.contract)
    held_out = encode(validation, trunk.contract) if validation else []
    parameters = trainable(trunk, adapter)
    plan = plan_batches(len(examples), settings.batch, settings.epochs, seed)
    optimizer = Optimizer(parameters, settings.optim, len(plan))
    state = _resume(folder, optimizer, recorder)
    with trunk.using(adapter):
        if state is None:
            first = mean_nll(trunk, held_out)
            state = SftState(0, first, 0, _copy(parameters))
            recorder.log(0, validation_loss=first)
        while state.step < len(plan) and state.since_best < settings.patience:
            started = time.perf_counter()
            batch = [examples[i] for i in plan[state.step]]
            loss = accumulate(trunk, batch, settings.optim.micro_batch_tokens, state.step)
            norm, rate = optimizer.step(state.step)
            state.step += 1
            tokens = sum(len(p) + len(r) for p, r in batch)
            speed = tokens / (time.perf_counter() - started)
            recorder.log(
                state.step, train_loss=loss, learning_rate=rate, grad_norm=norm, tokens_per_second=speed
            )
            if state.step % settings.evaluate_every == 0 or state.step == len(plan):
                _validate(trunk, held_out, parameters, state, recorder)
            if state.step % settings.checkpoint_every == 0:
                _checkpoint(folder, optimizer, state)
            recorder.progress(state.step, len(plan), tokens, note=f"loss {loss:.3f}")
        _put(parameters, state.best)
    return {
        "validation_loss": state.best_loss,
        "steps": float(state.step),
        "demonstrations": float(len(train)),
    }


def encode(demonstrations: Sequence[Demonstration], contract: TokenContract) -> list[Pair]:
    """Prompt and response tokens of each demonstration."""
    if not demonstrations:
        raise DataError("there are no demonstrations to learn from: name some under data.demonstrations")
    return [
        (contract.prompt_ids(d.prompt.messages), contract.response_ids(d.response)) for d in demonstrations
    ]


def trainable(trunk: Trunk, adapter: str | None) -> list[nn.Parameter]:
    """The parameters that a stage trains: one adapter's, or all of a trunk without adapters."""
    if adapter is not None:
        return trunk.adapter_parameters(adapter)
    return [p for p in trunk.model.parameters() if p.requires_grad]


def accumulate(
    trunk: Trunk, batch: Sequence[Pair], micro_batch_tokens: int, step: int, weight: float = 1.0
) -> float:
    """Add the gradient of `weight` times the batch's mean loss, a micro-batch at a time.

    Returns that loss, without the weight, in nats a token.
    """
    num_tokens = sum(len(response) for _, response in batch)
    total = 0.0
    for group in by_tokens([len(p) + len(r) for p, r in batch], micro_batch_tokens):
        chosen = [batch[i] for i in group]
        hidden, targets = predicting(trunk, chosen)
        logprobs, _ = trunk.token_logprobs(hidden, targets)
        loss = token_nll_loss(
            logprobs, torch.ones_like(logprobs, dtype=torch.bool), num_tokens=num_tokens
        ).loss
        require_finite(loss, "SFT", step)
        (weight * loss).backward()
        total += float(loss.detach())
    return total


def mean_nll(trunk: Trunk, pairs: Sequence[Pair]) -> float:
    """Mean negative log-likelihood in nats a response token; NaN where there is nothing to look at."""
    if not pairs:
        return math.nan
    logprobs = response_logprobs(trunk, pairs)
    return -float(torch.cat(logprobs).double().mean())


def _validate(
    trunk: Trunk,
    held_out: Sequence[Pair],
    parameters: Sequence[nn.Parameter],
    state: SftState,
    recorder: Recorder,
) -> None:
    loss = mean_nll(trunk, held_out)
    if math.isnan(loss) or loss < state.best_loss:
        state.best_loss, state.since_best, state.best = loss, 0, _copy(parameters)
    else:
        state.since_best += 1
    if held_out:
        recorder.log(state.step, validation_loss=loss)


def _checkpoint(folder: Path, optimizer: Optimizer, state: SftState) -> None:
    kept = {
        "step": state.step,
        "best_loss": state.best_loss,
        "since_best": state.since_best,
        "best": state.best,
    }
    save_checkpoint(folder, {"optimizer": optimizer.state(), "state": kept})


def _resume(folder: Path, optimizer: Optimizer, recorder: Recorder) -> SftState | None:
    saved = load_checkpoint(folder)
    recorder.rewind(saved["state"]["step"] if saved else -1)
    if saved is None:
        return None
    optimizer.restore(saved["optimizer"])
    return SftState(**saved["state"])


def _copy(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def _put(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
