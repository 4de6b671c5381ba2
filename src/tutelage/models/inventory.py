"""What lies in memory while a stage works, tensor by tensor, counted from settings and a model's shape alone.

Each function counts what one part of the code keeps, and names it: where that part changes, so does its
line here, and the tests count the real tensors. A stage goes through phases (learning, the optimiser's step,
decoding, scoring) whose own tensors are gone when the next begins, so its peak is what it holds all the while
and the largest phase. `models.memory` sets that against what is free. Left out on purpose: ensembles' streams
between layers, and buffers below a MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tutelage.models.kernels.decode import PREFILL_TOKENS
from tutelage.models.kernels.layout import BLOCK
from tutelage.models.kernels.logprob import CHUNK

FP32 = 4
SCORED_TOKENS = 4096
"""Tokens of one pass that keeps nothing for a backward pass."""
LIBRARIES = 450 << 20
"""PyTorch, transformers and the rest in a process that trains on a CPU: 380 MiB once imported, and the
parts of them that the first step wakes."""

HOLES, HOLES_AFTER_SAMPLING = 0.5, 0.8
"""Freed blocks between those that a backward pass waits for, as a share of these, on a CPU: glibc cannot give
them back. Measured and not derived (`benchmarks/memory`): resident memory above live tensors was 0.3 to 0.6 of
them, and 0.7 to 0.8 in a process that has also sampled. Having glibc map each tensor apart takes the holes away,
at half as much time again a step (`docs/experiments.md`)."""


@dataclass(frozen=True)
class ModelSize:
    """Counts that memory depends on, read from a model's configuration alone."""

    parameters: int
    layer_parameters: int
    layers: int
    width: int
    inner: int
    heads: int
    head_width: int
    kv_heads: int
    vocabulary: int

    @property
    def query_width(self) -> int:
        return self.heads * self.head_width

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_width

    def adapter_parameters(self, rank: int, layers: int | None) -> int:
        """A (rank, in) and B (out, rank) of query, key, value, out, gate, up and down in `layers` layers."""
        attention = 2 * (self.width + self.query_width) + 2 * (self.width + self.kv_width)
        return self._count(layers) * rank * (attention + 3 * (self.width + self.inner))

    def upper_parameters(self, layers: int | None) -> int:
        """Parameters that full fine-tuning trains: all, or those of the upper `layers` and the final norm."""
        if layers is None:
            return self.parameters
        return self._count(layers) * self.layer_parameters + self.width

    def _count(self, layers: int | None) -> int:
        return self.layers if layers is None else min(layers, self.layers)

    @classmethod
    def of(cls, config: object) -> ModelSize:
        """From a Llama-like configuration of transformers; no weights are loaded."""
        from transformers import AutoModelForCausalLM

        from tutelage.models.lora import layer_index

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        get = lambda name, default: int(getattr(config, name, None) or default)  # noqa: E731
        width, heads = get("hidden_size", 0), get("num_attention_heads", 1)
        layers = get("num_hidden_layers", 1)
        inside = sum(p.numel() for name, p in model.named_parameters() if layer_index(name) is not None)
        return cls(
            parameters=model.num_parameters(),
            layer_parameters=inside // layers,
            layers=layers,
            width=width,
            inner=get("intermediate_size", 4 * width),
            heads=heads,
            head_width=get("head_dim", width // heads),
            kv_heads=get("num_key_value_heads", heads),
            vocabulary=get("vocab_size", 0),
        )


@dataclass(frozen=True)
class Work:
    """What a stage does, as far as memory depends on it. Numbers of tokens are the recipe's limits.

    `full`: its own weights are trained, and `trunks` models are in memory; otherwise one trunk with `adapters`
    adapters, of which `trained_adapters` learn. `upper_layers`: only so many learn, from the top. `sharing`: how
    many responses to one prompt stand in one micro-batch. A stage that trains nothing has 0 `micro_batch_tokens`,
    one that samples nothing 0 `decode_batch`. `group` is the recipe's that its settings stand in.
    """

    stage: str
    group: str
    dtype: torch.dtype
    device: str
    full: bool
    rank: int
    max_prompt: int
    max_response: int
    trunks: int = 1
    adapters: int = 1
    trained_adapters: int = 1
    upper_layers: int | None = None
    micro_batch_tokens: int = 0
    sharing: int = 1
    scores_tokens: bool = True
    keeps_best: bool = False
    decode_batch: int = 0

    @property
    def longest(self) -> int:
        return self.max_prompt + self.max_response

    @property
    def layers_setting(self) -> str:
        """The setting that says how many layers learn."""
        if self.group in ("reward", "referee"):
            return f"{self.group}.upper_layers"
        return "model.upper_layers" if self.full else "model.lora.upper_layers"


Parts = dict[str, int]
"""Bytes by what they are."""


def held(work: Work, size: ModelSize) -> Parts:
    """What stays from the first step to the last."""
    item = work.dtype.itemsize
    trunks = work.trunks if work.full else 1
    adapters = 0 if work.full else work.adapters * size.adapter_parameters(work.rank, None) * FP32
    parts = {
        "weights": trunks * size.parameters * item + adapters,
        "libraries": LIBRARIES if work.device == "cpu" else 0,
    }
    if work.micro_batch_tokens > 0:
        trained, own = _trained(work, size)
        # AdamW: a mean and a square, and a copy of weights that are of lower precision.
        parts["optimiser"] = trained * (2 * FP32 + (FP32 if own < FP32 else 0))
        if work.keeps_best:
            parts["best weights so far"] = trained * own
    return parts


def phases(work: Work, size: ModelSize) -> dict[str, Parts]:
    """What each phase adds to it at its worst moment."""
    found: dict[str, Parts] = {}
    if work.micro_batch_tokens > 0:
        trained, own = _trained(work, size)
        kept = activations(work, size)
        found["learning"] = {"gradients": trained * own, "activations": kept}
        if work.device == "cpu":
            share = HOLES_AFTER_SAMPLING if work.decode_batch > 0 else HOLES
            found["learning"]["freed blocks between them"] = int(share * kept)
        # The optimiser takes gradients in fp32, beside those in the weights' own precision.
        found["the optimiser's step"] = {"gradients": trained * (own + (FP32 if own < FP32 else 0))}
    if work.decode_batch > 0:
        found["decoding"] = {
            "decoding copy": (size.layers * size.layer_parameters + size.vocabulary * size.width)
            * work.dtype.itemsize,
            "key-value cache": cache(work, size),
            "reading prompts": _reading(work, size),
        }
    found["scoring"] = {"passes without gradients": _scoring(work, size)}
    return found


def activations(work: Work, size: ModelSize) -> int:
    """What the backward pass of a full micro-batch needs, and the head's chunk on top of it."""
    item = work.dtype.itemsize
    pieces = worst_pack(work)
    tokens = sum(own for _, own in pieces)
    layers = size.layers if work.upper_layers is None else min(work.upper_layers, size.layers)
    layer = tokens * _layer_row(size) * item + _attention(pieces, size, work.device) * item
    layer += tokens * 2 * FP32  # the two norms' scales
    if not work.full:
        # Each adapter's inner rows, and its matrices in the trunk's precision.
        layer += (tokens * 7 * work.rank + size.adapter_parameters(work.rank, 1)) * item
    bias = _attention_weights(pieces, size) * item if work.device == "cpu" else 0
    # After the layers: the final norm's output before its weight, the rows that predict, and their slopes.
    after = 3 * tokens * size.width * item
    head = CHUNK * size.vocabulary * 3 * FP32 if work.scores_tokens else 0
    # Or the last layer's backward pass: the gradients of the gate's three tensors, and silu(gate).
    return layers * layer + bias + after + max(head, 4 * tokens * size.inner * item)


def worst_pack(work: Work) -> list[tuple[int, int]]:
    """Pieces (tokens above, own tokens) of the micro-batch that keeps most: all sequences as long as allowed.

    With `sharing`, a prompt and its responses are pieces of their own and count once, as `by_tokens` is told.
    """
    budget = work.micro_batch_tokens
    if work.sharing == 1:
        whole, rest = divmod(max(budget, work.longest), work.longest)
        return [(0, work.longest)] * whole + [(0, rest)] * (rest > 0)
    one = work.max_prompt + work.sharing * work.max_response
    prompts = max(1, budget // one)
    return ([(0, work.max_prompt)] + [(work.max_prompt, work.max_response)] * work.sharing) * prompts


def cache(work: Work, size: ModelSize) -> int:
    """Keys and values of all rows, with room for a prompt and two generations (`kernels.decode`)."""
    columns = work.max_prompt + 2 * work.max_response
    return 2 * size.layers * size.kv_width * work.decode_batch * columns * work.dtype.itemsize


def _trained(work: Work, size: ModelSize) -> tuple[int, int]:
    """How many parameters learn, and the bytes of one."""
    if work.full:
        return size.upper_parameters(work.upper_layers), work.dtype.itemsize
    return work.trained_adapters * size.adapter_parameters(work.rank, work.upper_layers), FP32


def _layer_row(size: ModelSize) -> int:
    """Numbers of one token that one layer's linear layers, norms and gate keep.

    Both norms keep what they scaled; query, key and value keep their common input, and so do gate and up; out
    and down keep theirs; the gate keeps both of its factors.
    """
    return 4 * size.width + size.query_width + 3 * size.inner


def _attention(pieces: list[tuple[int, int]], size: ModelSize, device: str) -> int:
    """Numbers that one layer's attention keeps: query, key, value, and weights (or, fused, its output)."""
    if device != "cpu":
        rows = sum(own for _, own in pieces)
        return 2 * rows * size.query_width + 2 * sum(a + own for a, own in pieces) * size.kv_width
    above, longest = max(a for a, _ in pieces), max(own for _, own in pieces)
    grid = len(pieces) * (longest * size.query_width + 2 * (above + longest) * size.kv_width)
    return grid + _attention_weights(pieces, size)


def _attention_weights(pieces: list[tuple[int, int]], size: ModelSize) -> int:
    """Weights of all heads on the grid of `kernels.layout`, a block of queries after the other."""
    above, longest = max(a for a, _ in pieces), max(own for _, own in pieces)
    total = 0
    for start in range(0, longest, BLOCK):
        end = min(start + BLOCK, longest)
        reaching = sum(own > start for _, own in pieces)
        total += reaching * size.heads * (end - start) * (above + end)
    return total


def _reading(work: Work, size: ModelSize) -> int:
    """Prompts read in one pass: bias, logits, softmax and its copy of all heads, or the gate's four tensors."""
    tokens = min(PREFILL_TOKENS, work.decode_batch * work.max_prompt)
    widest = max(4 * size.heads * work.max_prompt, 4 * size.inner)
    return tokens * widest * work.dtype.itemsize


def _scoring(work: Work, size: ModelSize) -> int:
    """The head's chunk or the gate's four tensors, beside the residual stream and one layer's attention."""
    item = work.dtype.itemsize
    rows = max(SCORED_TOKENS, work.longest)
    pieces = [(0, work.longest)] * max(1, rows // work.longest)
    attention = _attention(pieces, size, work.device) * item
    head = CHUNK * size.vocabulary * 3 * FP32
    return 2 * rows * size.width * item + max(head, attention + 4 * rows * size.inner * item)
