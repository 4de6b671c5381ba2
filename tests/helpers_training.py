"""A tiny trunk and small data for the training tests."""

from __future__ import annotations

from pathlib import Path

import torch

from tutelage.core.records import Demonstration, Prompt
from tutelage.core.settings import LoraSettings, ModelSettings, TokenSettings
from tutelage.models.roles import open_base
from tutelage.models.trunk import Trunk

TOKENS = TokenSettings(max_prompt=64, max_response=24)
LORA = LoraSettings(rank=4, alpha=8)


class Killed(Exception):
    """Stands in for a kill in the middle of training."""


class KillAt:
    """A listener that stops training at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Metrics are written before progress is told, so nothing is done here."""

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        if done == self.step:
            raise Killed


def tiny_trunk(folder: Path, tune: str = "lora", dtype: str = "float32") -> Trunk:
    """A fresh trunk on the tiny model."""
    torch.set_num_threads(1)
    return open_base(ModelSettings(base=str(folder), tune=tune, dtype=dtype), TOKENS)  # type: ignore[arg-type]


def demonstrations(count: int = 24) -> list[Demonstration]:
    """Questions of several lengths that all want the same kind of answer."""
    asked = [
        "Say hello",
        "What is two and two?",
        "Name a colour, please",
        "Tell me about the sea and the moon",
    ]
    return [
        Demonstration(Prompt.of(f"{asked[i % 4]} ({i})"), f"I do not know about {i % 5}.")
        for i in range(count)
    ]


def weights(trunk: Trunk, adapter: str | None) -> list[torch.Tensor]:
    """Copies of the trained weights."""
    from tutelage.training.sft import trainable

    return [p.detach().clone() for p in trainable(trunk, adapter)]
