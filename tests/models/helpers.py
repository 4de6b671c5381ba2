"""What the tests of models share: random sequences, perturbed adapters, transformers' own answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.core.settings import LoraSettings
from tutelage.models.trunk import Trunk

FIRST_WORD, VOCABULARY = 3, 320
"""Ids below are the special tokens of the tiny model."""


def sequences(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Random token sequences of the tiny model, without special tokens."""
    draw = random.Random(seed)
    return [[draw.randrange(FIRST_WORD, VOCABULARY) for _ in range(n)] for n in lengths]


def add_random_adapter(trunk: Trunk, name: str, seed: int = 1, **settings: Any) -> None:
    """An adapter that changes something: both of its matrices are random."""
    generator = torch.Generator().manual_seed(seed)
    trunk.add_adapter(name, LoraSettings(**{"rank": 4, "alpha": 8.0, **settings}), seed)
    with torch.no_grad():
        for parameter in trunk.adapter_parameters(name):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def plain_model(folder: Path) -> Any:
    """transformers' own model with its own attention."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, attn_implementation="eager"
    ).eval()


def padded(rows: Sequence[Sequence[int]], side: str, pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Ids and attention mask `(B, T)`, padded on one side."""
    longest = max(len(row) for row in rows)
    ids, seen = [], []
    for row in rows:
        gap = longest - len(row)
        fill, blank, ones = [pad_id] * gap, [0] * gap, [1] * len(row)
        ids.append(fill + list(row) if side == "left" else list(row) + fill)
        seen.append(blank + ones if side == "left" else ones + blank)
    return torch.tensor(ids), torch.tensor(seen)


def alone(model: Any, row: Sequence[int]) -> Tensor:
    """Logits (T, V) of one sequence by itself."""
    with torch.no_grad():
        return model(torch.tensor([list(row)])).logits[0]
