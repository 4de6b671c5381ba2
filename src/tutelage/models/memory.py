"""What a stage will need in memory, estimated before anything is loaded, against what there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from tutelage.core.errors import ResourceError

Stage = Literal["sft", "sample", "judge", "reward", "ppo", "evaluate"]
GIB = 1 << 30


@dataclass(frozen=True)
class ModelSize:
    """Counts that memory depends on, read from a model's configuration alone."""

    parameters: int
    layers: int
    width: int
    inner: int
    heads: int
    kv_width: int
    vocabulary: int

    @classmethod
    def of(cls, config: object) -> ModelSize:
        """From a Llama-like configuration of transformers; no weights are loaded."""
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        get = lambda name, default: int(getattr(config, name, None) or default)  # noqa: E731
        width, heads = get("hidden_size", 0), get("num_attention_heads", 1)
        head_dim = get("head_dim", width // heads)
        return cls(
            parameters=model.num_parameters(),
            layers=get("num_hidden_layers", 0),
            width=width,
            inner=get("intermediate_size", 4 * width),
            heads=heads,
            kv_width=get("num_key_value_heads", heads) * head_dim,
            vocabulary=get("vocab_size", 0),
        )


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by purpose, and the sum."""

    stage: Stage
    weights: int
    trained: int
    activations: int
    cache: int
    runtime: int

    @property
    def total(self) -> int:
        return self.weights + self.trained + self.activations + self.cache + self.runtime

    def lines(self) -> list[str]:
        """The plan for people, in GiB."""
        parts = {
            "frozen and trained weights": self.weights,
            "gradients and optimiser": self.trained,
            "activations": self.activations,
            "decoding copy and key-value cache": self.cache,
            "libraries": self.runtime,
        }
        return [f"{name}: {size / GIB:.2f} GiB" for name, size in parts.items() if size]


def estimate(
    stage: Stage,
    size: ModelSize,
    *,
    dtype: torch.dtype,
    lora_rank: int | None,
    num_adapters: int,
    micro_batch_tokens: int,
    longest: int,
    decode_batch: int = 0,
    decode_tokens: int = 0,
) -> MemoryPlan:
    """Bytes that a stage needs at its peak. `lora_rank` None means full fine-tuning.

    Adapters and full fine-tuning both keep fp32 copies for the optimiser: weight, gradient and two
    moments, 16 bytes a trained parameter. Activations count what the backward pass keeps of each layer.
    Decoding (`decode_batch` above 0) has its own copy of the weights and room for two generations.
    """
    item = dtype.itemsize
    training = stage in ("sft", "reward", "ppo")
    attention_width = size.width + 2 * size.kv_width
    # A and B of query, key, value and out, then of gate, up and down: rank times the widths they join.
    joined_widths = 5 * size.width + attention_width + 3 * (size.width + size.inner)
    adapter = 0 if lora_rank is None else size.layers * lora_rank * joined_widths
    weights = size.parameters * item + adapter * 4 * num_adapters
    trained = 0
    activations = 0
    if training:
        trained = (adapter * 12) if lora_rank is not None else size.parameters * 16
        per_token = 8 * size.width + 2 * attention_width + 4 * size.inner
        probabilities = size.heads * longest
        activations = micro_batch_tokens * size.layers * (per_token + probabilities) * item
    # The head's logits of one chunk: bf16, fp32 and a copy for the softmax.
    activations += 256 * size.vocabulary * 12
    cache = 2 * size.layers * size.kv_width * decode_batch * (longest + decode_tokens) * item
    if decode_batch > 0:
        cache += size.parameters * item
    return MemoryPlan(stage, weights, trained, activations, cache, runtime=600 << 20)


def available(device: torch.device) -> int:
    """Free bytes on the device: GPU memory, or what Linux says a new program can have."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with Path("/proc/meminfo").open() as stream:
            found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in stream if "kB" in line}
        return found["MemAvailable"]
    except (OSError, KeyError, ValueError):
        return 1 << 62


def require_fits(plan: MemoryPlan, free: int) -> None:
    """Raise `ResourceError`, naming the setting that helps most, if the plan needs more than `free` bytes."""
    if plan.total <= free:
        return
    advice = {
        "weights": "a smaller model.base or model.dtype=bfloat16",
        "trained": "model.tune=lora",
        "activations": "a smaller optim.micro_batch_tokens",
        "cache": "a smaller sample.batch",
    }
    largest = max(advice, key=lambda name: getattr(plan, name))
    raise ResourceError(
        f"{plan.stage} needs about {plan.total / GIB:.1f} GiB and {free / GIB:.1f} GiB are free "
        f"(most of it: {'; '.join(plan.lines()[:2])}): try {advice[largest]}"
    )
