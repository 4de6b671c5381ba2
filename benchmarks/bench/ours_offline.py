"""Our side of SFT, the reward model and DPO: their stages' own step, through the loop that training uses.

DPO's reference is computed for each batch where it is used: in one epoch that is the same work as before it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench.turns import Turns, opened
from tutelage.core.method_settings import DpoSettings
from tutelage.core.recorder import Recorder
from tutelage.core.settings import LoraSettings, ModelSettings, RewardSettings, SftSettings, TokenSettings
from tutelage.models.roles import new_reward_model, open_base
from tutelage.models.trunk import Trunk
from tutelage.training import dpo, reward_model, sft
from tutelage.training.direct import Learner, reference_sums
from tutelage.training.epochs import Accumulate, train_epochs
from tutelage.training.ranked import RankedExample

NEVER = 10**6
UPPER = 20
"""Layers that the shipped recipe trains of a reward model (system against system)."""


class Stepping:
    """Hears of each optimiser step, and hands the turn over after so many."""

    def __init__(self, turns: Turns, every: int) -> None:
        self.turns, self.every = turns, every

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None: ...

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        if done % self.every == 0:
            self.turns.done()


def trunk_for(work: dict[str, Any], tune: str, max_response: int = 512) -> Trunk:
    """The model in bf16, ready for adapters or for training all of it."""
    model = ModelSettings(base=work["model"], dtype="bfloat16", device="cpu", tune=tune)  # type: ignore[arg-type]
    return open_base(model, TokenSettings(max_prompt=512, max_response=max_response))


def examples_of(pairs: Sequence[Any]) -> list[RankedExample]:
    """Pairs as the reward model and DPO take them."""
    return [
        RankedExample(str(i), "", tuple(p), (tuple(c), tuple(r)), (), ((0, 1, 1.0, 1.0),), (0, 0))
        for i, (p, c, r) in enumerate(pairs)
    ]


def sft_work(work: dict[str, Any], lora: bool) -> tuple[Any, ...]:
    settings = SftSettings()
    trunk = trunk_for(work, "lora" if lora else "full")
    adapter = "sft" if lora else None
    if adapter:
        trunk.add_adapter(adapter, LoraSettings(), 0)
    pairs = [(p, c) for batch in work["batches"] for p, c, _ in batch]

    def step(places: Sequence[int], number: int) -> dict[str, float]:
        batch = [pairs[i] for i in places]
        with trunk.using(adapter):
            loss = sft.accumulate(trunk, batch, settings.optim.micro_batch_tokens, number)
        return {"loss": loss, "tokens": float(sum(len(p) + len(r) for p, r in batch))}

    return sft.trainable(trunk, adapter), step, settings.optim, []


def reward_work(work: dict[str, Any], upper_layers: int | None) -> tuple[Any, ...]:
    settings = RewardSettings(loss="bradley-terry")
    model = new_reward_model(trunk_for(work, "lora"), "reward", LoraSettings(), upper_layers, 0)
    examples = examples_of([pair for batch in work["batches"] for pair in batch])

    def step(places: Sequence[int], number: int) -> dict[str, float]:
        return reward_model.accumulate(model, [examples[i] for i in places], settings, number)

    return reward_model.trunk_parameters(model), step, settings.optim, [model.head.weight]


def dpo_work(work: dict[str, Any]) -> tuple[Any, ...]:
    settings = DpoSettings()
    trunk = trunk_for(work, "lora")
    trunk.add_adapter("policy", LoraSettings(), 0)
    learner = Learner(trunk, "policy", trunk, None)
    examples = examples_of([pair for batch in work["batches"] for pair in batch])

    def step(places: Sequence[int], number: int) -> dict[str, float]:
        batch = [examples[i] for i in places]
        return dpo.accumulate(learner, batch, reference_sums(learner, batch, False), settings, number)

    return sft.trainable(trunk, "policy"), step, settings.optim, []


def main() -> None:
    work, row, mode, turns = opened()
    if row.startswith("sft"):
        parameters, step, optim, heads = sft_work(work, row == "sft_lora")
    elif row == "reward":
        parameters, step, optim, heads = reward_work(work, UPPER if mode == "system" else None)
    else:
        parameters, step, optim, heads = dpo_work(work)
    train(work, turns, parameters, step, optim, heads)


def train(
    work: dict[str, Any],
    turns: Turns,
    parameters: Sequence[Any],
    step: Accumulate,
    optim: Any,
    heads: Sequence[Any],
) -> None:
    """The loop of every method that learns from given data, over the batches as they are."""
    size = work["scale"]["batch"]
    plan = [list(range(i * size, (i + 1) * size)) for i in range(len(work["batches"]))]
    recorder = Recorder("bench", None, [Stepping(turns, work["scale"]["steps"])])
    turns.ready(trained=sum(p.numel() for p in [*parameters, *heads]))
    with tempfile.TemporaryDirectory() as folder:
        train_epochs(
            parameters,
            plan,
            step,
            optim,
            folder=Path(folder),
            recorder=recorder,
            checkpoint_every=NEVER,
            heads=heads,
        )


if __name__ == "__main__":
    main()
