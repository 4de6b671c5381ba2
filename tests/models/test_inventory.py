"""The inventory: each line against the tensors that the code really keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.helpers import add_random_adapter, sequences
from tutelage.core.settings import OptimSettings
from tutelage.models import inventory
from tutelage.models.inventory import ModelSize, Work
from tutelage.models.kernels.decode import FusedDecoder
from tutelage.models.kernels.fused import FusedModel
from tutelage.models.kernels.layout import layout_of
from tutelage.models.packed import pack
from tutelage.models.trunk import Trunk
from tutelage.training.loop import Optimizer

LENGTH, ROWS, RANK = 160, 4, 4


def work(**changed: Any) -> Work:
    settings = {
        "stage": "sft", "group": "sft", "dtype": torch.float32, "device": "cpu", "full": False, "rank": RANK,
        "max_prompt": LENGTH - 40, "max_response": 40, "micro_batch_tokens": ROWS * LENGTH,
    }  # fmt: skip
    return Work(**{**settings, **changed})


def kept_bytes(run: Callable[[], Tensor], trunk: Trunk) -> int:
    """Bytes that autograd keeps for the backward pass of `run`, each storage once, the model's own left out."""
    own = {p.untyped_storage().data_ptr() for p in trunk.model.parameters()}
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            seen[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


def of_layers(asked: Work, size: ModelSize) -> int:
    """What `activations` says without its head, the rows that predict, and the bias: the layers' own."""
    item = asked.dtype.itemsize
    pieces = inventory.worst_pack(asked)
    tokens = sum(own for _, own in pieces)
    bias = inventory._attention_weights(pieces, size) * item
    after = 3 * tokens * size.width * item
    head = 256 * size.vocabulary * 12 if asked.scores_tokens else 0
    return inventory.activations(asked, size) - bias - after - max(head, 4 * tokens * size.inner * item)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", ["adapters", "upper adapters", "all weights", "upper weights"])
def test_layers_keep_what_is_counted(new_trunk: Callable[..., Trunk], how: str, dtype: str) -> None:
    full, upper = "weights" in how, 1 if "upper" in how else None
    trunk = new_trunk(adapters=not full, dtype=dtype)
    if not full:
        add_random_adapter(trunk, "a", rank=RANK, upper_layers=upper)
    elif upper:
        trunk.freeze_below(upper)
    packed = pack(sequences([LENGTH] * ROWS))
    with trunk.using(None if full else "a"):
        kept = kept_bytes(lambda: trunk.hidden(packed), trunk)
    asked = work(full=full, upper_layers=upper, dtype=trunk.dtype)
    size = ModelSize.of(trunk.model.config)
    # Beside the layers, the final norm keeps what it scaled, and rotary angles are kept once.
    final = ROWS * LENGTH * (size.width * trunk.dtype.itemsize + 4)
    assert kept == pytest.approx(of_layers(asked, size) + final, rel=0.03)


def test_attention_on_shared_prompts_is_the_layouts_own_grid(new_trunk: Callable[..., Trunk]) -> None:
    size = ModelSize.of(new_trunk().model.config)
    prompt, *responses = sequences([90, 30, 30, 30])
    packed = pack([[*prompt, *response] for response in responses])
    pieces = list(zip(packed.depths, [piece.length for piece in packed.pieces], strict=True))
    assert (
        inventory.worst_pack(work(max_prompt=90, max_response=30, micro_batch_tokens=180, sharing=3))
        == pieces
    )
    layout = layout_of(packed, size.heads, size.kv_heads)
    biases = [layout.bias(start, end, torch.float32).numel() for start, end, _ in layout.blocks()]
    assert inventory._attention_weights(pieces, size) == sum(biases)
    grid = (layout.query_tokens.numel() + 2 * layout.key_tokens.numel()) * size.head_width
    assert inventory._attention(pieces, size, "cpu") == grid + sum(biases)


@pytest.mark.parametrize(
    ("full", "upper", "dtype"), [(True, None, "bfloat16"), (True, 1, "bfloat16"), (False, 1, "bfloat16")]
)
def test_the_optimiser_holds_what_is_counted(
    new_trunk: Callable[..., Trunk], full: bool, upper: int | None, dtype: str
) -> None:
    trunk = new_trunk(adapters=not full, dtype=dtype)
    if full and upper:
        trunk.freeze_below(upper)
    elif not full:
        add_random_adapter(trunk, "a", rank=RANK, upper_layers=upper)
    learning = [p for p in trunk.model.parameters() if p.requires_grad]
    optimizer = Optimizer(learning, OptimSettings(), 1)
    for parameter in learning:
        parameter.grad = torch.zeros_like(parameter)
    gradients = sum(p.grad.nbytes for p in learning if p.grad is not None)
    optimizer.step(0)
    moments = sum(t.nbytes for s in optimizer.adam.state.values() for t in s.values() if t.dim() > 0)
    masters = sum(m.nbytes for m, p in zip(optimizer.masters, learning, strict=True) if m is not p)
    asked, size = work(full=full, upper_layers=upper, dtype=trunk.dtype), ModelSize.of(trunk.model.config)
    assert inventory.held(asked, size)["optimiser"] == moments + masters
    assert inventory.phases(asked, size)["learning"]["gradients"] == gradients


def test_weights_are_counted_as_they_are(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    base = sum(p.numel() for p in trunk.model.parameters())
    size = ModelSize.of(trunk.model.config)
    add_random_adapter(trunk, "a", rank=RANK)
    adapter = sum(p.numel() for p in trunk.adapter_parameters("a"))
    assert size.parameters == base
    assert inventory.held(work(adapters=3), size)["weights"] == 4 * (base + 3 * adapter)
    bf16 = work(full=True, trunks=3, dtype=torch.bfloat16, keeps_best=True)
    assert inventory.held(bf16, size)["weights"] == 2 * 3 * base
    assert inventory.held(bf16, size)["best weights so far"] == 2 * base


def test_the_cache_is_as_large_as_the_decoders(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    prompts = sequences([20] * 3)
    decoder = FusedDecoder(FusedModel(trunk.model, None, 3), 3, prompts, new_tokens=7)
    asked = work(max_prompt=20, max_response=7, decode_batch=3)
    size = ModelSize.of(trunk.model.config)
    assert inventory.cache(asked, size) == decoder.keys.nbytes + decoder.values.nbytes
    assert "decoding" not in inventory.phases(replace(asked, decode_batch=0), size)


def test_a_stage_that_trains_nothing_keeps_nothing_for_it(new_trunk: Callable[..., Trunk]) -> None:
    size = ModelSize.of(new_trunk().model.config)
    asked = work(micro_batch_tokens=0, decode_batch=8)
    assert set(inventory.phases(asked, size)) == {"decoding", "scoring"}
    assert "optimiser" not in inventory.held(asked, size)
