"""What TRL's side shares: its trainers' settings and how they hand over the turn. Runs in TRL's environment.

Settings are TRL's defaults, but for those that would only cost it: weights in bf16 as ours (so no autocast on
top), no gradient checkpointing, no saving, no reports. Batches come in the order given.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)

from benchmarks.bench.turns import Turns
from benchmarks.oracle.quiet import common

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NEVER = 10**6
PAD = 0
"""Occurs in no sequence: TRL's PPO takes for padding whatever equals the padding token."""


class Stepping(TrainerCallback):
    """Waits for the first turn when training begins, and hands it over after so many optimiser steps."""

    def __init__(self, turns: Turns, every: int) -> None:
        self.turns, self.every, self.steps = turns, every, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        model = more.get("model") or self.model
        self.turns.ready(trained=sum(p.numel() for p in model.parameters() if p.requires_grad))

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.steps += 1
        if self.steps % self.every == 0:
            self.turns.done()

    model: Any = None


def arguments(**more: Any) -> dict[str, Any]:
    """Of any trainer's configuration."""
    own = {
        "save_strategy": "no",
        "logging_steps": NEVER,
        "dataloader_pin_memory": False,
        "learning_rate": 1e-5,
    }
    return common(**{**own, **more})


def lora(task: str, **more: Any) -> LoraConfig:
    """Rank 16 on all linear layers."""
    return LoraConfig(r=16, lora_alpha=32, target_modules=LINEARS, task_type=task, **more)


def policy(work: dict[str, Any], attention: str = "sdpa") -> Any:
    """The causal model in bf16."""
    return AutoModelForCausalLM.from_pretrained(
        work["model"], dtype=torch.bfloat16, attn_implementation=attention
    )


def scorer(work: dict[str, Any], attention: str = "sdpa") -> Any:
    """A classifier with one label on the model, in bf16."""
    model = AutoModelForSequenceClassification.from_pretrained(
        work["model"], num_labels=1, dtype=torch.bfloat16, attn_implementation=attention
    )
    model.config.pad_token_id = PAD
    return model


def tokenizer(work: dict[str, Any]) -> Any:
    """The model's tokenizer, padding on the left with a token that does not occur."""
    found = AutoTokenizer.from_pretrained(work["model"], padding_side="left")
    found.pad_token = found.convert_ids_to_tokens(PAD)
    return found
