"""What the machine could do at best: its measured rate of bf16 products, and what each row costs in products.

A row's floor is the time of its matrix products alone at the measured rates, on the real tokens without
padding, with no token computed twice: prompts once for all their responses, the reference once, decoding's
log-probabilities taken from decoding. With N weights in the layers and an output head of V x H:

    forward 2 N a token and 2 V H a token that is predicted; a backward pass as much again for what flows back,
    and once more where the weights are trained; causal attention 2 L H t^2 forward for a sequence of t tokens.

Decoding's steps are counted at the rate measured at its own batch, which is that of reading the weights.
`python -m benchmarks.bench.floor BATCH` measures the rates, in a process with both sides' settings.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FULL_TRAINING, LORA_TRAINING, FORWARD = 3.0, 2.0, 1.0
"""How many times a forward pass costs."""
FORMULAS = {
    "sft_full": "6 (N T + V H R) + attention, over peak",
    "sft_lora": "4 (N T + V H R) + attention, over peak",
    "reward": "4 N T + attention, over peak; a pair's prompt once",
    "dpo": "6 (N T + V H R) + attention, over peak; a pair's prompt once",
    "ppo": "[2 N P + 2 x 2 N T + epochs x 4 (N T + V H R) + 2 V H R] over peak + 2 (N + V H) R over the decoding rate",
    "decode": "2 N P over peak + 2 (N + V H) R over the decoding rate",
}
FORMULAS |= {"grpo": FORMULAS["ppo"], "rloo": FORMULAS["ppo"]}
"""T: all tokens, P: of prompts, R: of responses."""


@dataclass(frozen=True)
class Shape:
    """A Llama-like model's sizes."""

    layers: int
    width: int
    inner: int
    kv_width: int
    vocabulary: int

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """From the configuration in a model's folder."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        width, heads = config["hidden_size"], config["num_attention_heads"]
        kv_width = config["num_key_value_heads"] * (config.get("head_dim") or width // heads)
        return cls(
            config["num_hidden_layers"], width, config["intermediate_size"], kv_width, config["vocab_size"]
        )

    @property
    def body(self) -> int:
        """N: weights of the layers' products."""
        return self.layers * self.width * (2 * self.width + 2 * self.kv_width + 3 * self.inner)

    def forward(self, tokens: int, predicted: int, lengths: Sequence[int]) -> float:
        """Operations of one forward pass."""
        attention = 2.0 * self.layers * self.width * sum(t * t for t in lengths)
        return 2.0 * self.body * tokens + 2.0 * self.vocabulary * self.width * predicted + attention


@dataclass(frozen=True)
class Rates:
    """Operations a second in bf16: of large products, and of a decoding step's."""

    peak: float
    decoding: float


def seconds(name: str, work: dict[str, Any], shape: Shape, rates: Rates, repetition: int) -> float:
    """The least that a repetition of the row could take on the machine."""
    scale = work["scale"]
    if name in ("sft_full", "sft_lora", "reward", "dpo"):
        batches = work["batches"][repetition * scale["steps"] : (repetition + 1) * scale["steps"]]
        pairs = [pair for batch in batches for pair in batch]
        return _given(name, pairs, shape) / rates.peak
    prompts = work["prompts"][repetition]
    if name == "decode":
        return _decoding(prompts, 1, scale["decode_tokens"], shape, rates)
    group = 1 if name == "ppo" else scale["group"]
    prompts, new = prompts[: scale["rollouts"] // group], scale["new_tokens"]
    responses = scale["rollouts"] * new
    tokens = sum(map(len, prompts)) + responses
    lengths = [len(p) + new for p in prompts for _ in range(group)]
    with_head = shape.forward(tokens, responses, lengths)
    scored = shape.forward(tokens, 0, lengths) + with_head  # the reward model, and the reference
    learned = scale["epochs"] * LORA_TRAINING * with_head
    return _decoding(prompts, group, new, shape, rates) + (scored + learned) / rates.peak


def _given(name: str, pairs: Sequence[Any], shape: Shape) -> float:
    if name.startswith("sft"):
        lengths = [len(p) + len(c) for p, c, _ in pairs]
        times = FULL_TRAINING if name == "sft_full" else LORA_TRAINING
        return times * shape.forward(sum(lengths), sum(len(c) for _, c, _ in pairs), lengths)
    lengths = [len(p) + len(c) + len(r) for p, c, r in pairs]
    if name == "reward":
        return LORA_TRAINING * shape.forward(sum(lengths), 0, lengths)
    predicted = sum(len(c) + len(r) for _, c, r in pairs)
    return (LORA_TRAINING + FORWARD) * shape.forward(sum(lengths), predicted, lengths)


def _decoding(prompts: Sequence[Any], group: int, new: int, shape: Shape, rates: Rates) -> float:
    prefill = shape.forward(sum(map(len, prompts)), 0, [len(p) for p in prompts])
    steps = 2.0 * (shape.body + shape.vocabulary * shape.width) * len(prompts) * group * new
    return prefill / rates.peak + steps / rates.decoding


def measure(shape: Shape, batch: int) -> Rates:
    """The best rates seen, at the model's own shapes and of one large square."""
    import torch

    sizes = [
        (shape.width, shape.width + 2 * shape.kv_width, shape.layers),
        (shape.width, shape.width, shape.layers),
        (shape.width, 2 * shape.inner, shape.layers),
        (shape.inner, shape.width, shape.layers),
        (shape.width, shape.vocabulary, 1),
    ]

    def product(rows: int, inner: int, columns: int) -> float:
        x = torch.randn(rows, inner, dtype=torch.bfloat16)
        w = torch.randn(columns, inner, dtype=torch.bfloat16)
        return best_of(lambda: torch.nn.functional.linear(x, w))

    with torch.no_grad():
        large = [2.0 * 1024 * k * n / product(1024, k, n) for k, n, _ in sizes]
        square = 2.0 * 2048**3 / product(2048, 2048, 2048)
        step = sum(times * product(batch, k, n) for k, n, times in sizes)
    per_row = 2.0 * (shape.body + shape.vocabulary * shape.width)
    return Rates(max(*large, square), batch * per_row / step)


def best_of(work: Callable[[], object], patience: float = 0.4) -> float:
    """The shortest time in seconds of some repetitions within `patience` seconds."""
    work()
    best, end = float("inf"), time.perf_counter() + patience
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    rates = measure(Shape.read(Path(sys.argv[1])), int(sys.argv[2]))
    print(json.dumps({"peak": rates.peak, "decoding": rates.decoding}))


if __name__ == "__main__":
    main()
