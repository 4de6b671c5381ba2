"""The memory estimate: its counts against real models, and the sentence when it does not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.models.helpers import add_random_adapter
from tutelage.core.errors import ResourceError
from tutelage.models.memory import GIB, MemoryPlan, ModelSize, available, estimate, require_fits
from tutelage.models.trunk import Trunk


def _plan(size: ModelSize, **changed: object) -> MemoryPlan:
    settings = {
        "dtype": torch.float32, "lora_rank": 4, "num_adapters": 1, "micro_batch_tokens": 256, "longest": 64,
    }  # fmt: skip
    return estimate(**{"stage": "sft", "size": size, **settings, **changed})  # type: ignore[arg-type]


def test_weights_are_counted_as_they_are(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    config, base = trunk.model.config, sum(p.numel() for p in new_trunk(adapters=False).model.parameters())
    add_random_adapter(trunk, "a", rank=4)
    adapter = sum(p.numel() for p in trunk.adapter_parameters("a"))
    size = ModelSize.of(config)
    assert size.parameters == base
    assert _plan(size).weights == 4 * (base + adapter)
    assert _plan(size, num_adapters=3, dtype=torch.bfloat16).weights == 2 * base + 3 * 4 * adapter
    # Gradient and two moments in fp32, 12 bytes a trained parameter.
    assert _plan(size).trained == 12 * adapter
    assert _plan(size, lora_rank=None).trained == 16 * base


def test_each_setting_moves_its_own_part(new_trunk: Callable[..., Trunk]) -> None:
    size = ModelSize.of(new_trunk().model.config)
    plain = _plan(size)
    assert plain.cache == 0
    assert _plan(size, stage="sample").trained == 0
    assert _plan(size, micro_batch_tokens=512).activations > 1.5 * plain.activations
    # 2 layers, keys and values, 2 heads of 16, 8 rows, 64 + 10 tokens, 4 bytes; and the decoding copy.
    cache = 2 * 2 * 2 * 16 * 8 * (64 + 10) * 4
    assert _plan(size, decode_batch=8, decode_tokens=10).cache == cache + size.parameters * 4
    assert plain.total == sum((plain.weights, plain.trained, plain.activations, plain.cache, plain.runtime))


def test_too_large_is_one_sentence_with_the_setting_that_helps() -> None:
    plan = MemoryPlan("ppo", weights=GIB, trained=5 * GIB, activations=2 * GIB, cache=0, runtime=GIB)
    require_fits(plan, 9 * GIB)
    with pytest.raises(ResourceError) as caught:
        require_fits(plan, 3 * GIB)
    said = str(caught.value)
    assert said.startswith("ppo needs about 9.0 GiB and 3.0 GiB are free")
    assert said.endswith("try model.tune=lora")
    assert "\n" not in said


def test_what_is_free_is_less_than_what_there_is() -> None:
    assert 0 < available(torch.device("cpu")) <= 1 << 62
