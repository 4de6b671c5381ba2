"""What the programs here are given and what they leave: cases, weights and batches in, answers out.

A case is a JSON object: `name`, `method`, `seed`, `settings` (its method's, by our names), and a batch of
`prompts` (P lists of tokens), `responses` (P lists of K lists of tokens) and `rewards` (P lists of K). The
answer to a case is a file of tensors: `loss`, one `grad/PARAMETER` each, and whatever else is compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

Answer = dict[str, Tensor]


@dataclass(frozen=True)
class World:
    """The models of one seed, in a folder."""

    folder: Path

    @cached_property
    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.folder / "model")

    def weights(self, name: str) -> Answer:
        return load_file(self.folder / f"{name}.safetensors")

    def policy(self, name: str = "policy") -> Any:
        """The causal model with the weights of that name, in fp32."""
        model = AutoModelForCausalLM.from_pretrained(self.folder / "model", dtype=torch.float32)
        return load(model, self.weights(name))

    def scorer(self, name: str, head: str) -> Any:
        """A classifier with one label: the trunk of that name and the head of that name."""
        model = AutoModelForSequenceClassification.from_pretrained(
            self.folder / "model", num_labels=1, dtype=torch.float32
        )
        weights = {k: v for k, v in self.weights(name).items() if k != "lm_head.weight"}
        return load(model, {**weights, "score.weight": self.weights("heads")[head]})


def load(model: nn.Module, weights: Answer) -> nn.Module:
    """Copy weights in by name, all of them."""
    mine = dict(model.named_parameters())
    if mine.keys() != weights.keys():
        raise ValueError(f"parameters differ: {sorted(mine.keys() ^ weights.keys())}")
    with torch.no_grad():
        for name, parameter in mine.items():
            parameter.copy_(weights[name])
    return model


def gradients(model: nn.Module, prefix: str = "grad/") -> Answer:
    """The gradient of every parameter by its name; zeros where there is none."""
    return {
        prefix + name: torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
        for name, p in model.named_parameters()
    }


def cases(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "cases.json").read_text())


def world_of(folder: Path, case: dict[str, Any]) -> World:
    return World(folder / f"seed-{case['seed']}")


def keep(folder: Path, case: dict[str, Any], answer: Answer) -> None:
    target = folder / "answers"
    target.mkdir(exist_ok=True)
    save_file({k: v.detach().contiguous() for k, v in answer.items()}, target / f"{case['name']}.safetensors")
