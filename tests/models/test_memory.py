"""The memory plan: its peak, and the sentence when it does not fit, whose advice is followed to see if it helps."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import torch

from tutelage.core.errors import ResourceError
from tutelage.models.inventory import ModelSize, Work
from tutelage.models.memory import GIB, MemoryPlan, advice, available, changes, estimate, require_fits

SIZE = ModelSize(
    parameters=134_515_008, layer_parameters=3_540_096, layers=30, width=576, inner=1536,
    heads=9, head_width=64, kv_heads=3, vocabulary=49152,
)  # fmt: skip
PPO = Work(
    stage="ppo", group="ppo", dtype=torch.float32, device="cpu", full=True, rank=16, max_prompt=512, max_response=256,
    trunks=3, adapters=3, micro_batch_tokens=4096, decode_batch=32,
)  # fmt: skip


def refused(free: int, **changed: Any) -> str:
    with pytest.raises(ResourceError) as caught:
        require_fits(replace(PPO, **changed), SIZE, free)
    return str(caught.value)


def test_the_peak_is_what_is_held_and_the_largest_phase() -> None:
    plan = MemoryPlan("sft", {"weights": 5}, {"learning": {"a": 1, "b": 2}, "decoding": {"c": 4}})
    assert (plan.peak, plan.total) == ("decoding", 9)
    assert plan.lines() == ["weights 0.00 GiB", "c 0.00 GiB"]


def test_what_fits_is_planned_and_what_does_not_is_one_sentence() -> None:
    total = estimate(PPO, SIZE).total
    assert require_fits(PPO, SIZE, total).total == total
    said = refused(total - 1)
    assert said.startswith(f"ppo needs about {total / GIB:.1f} GiB and ")
    assert "\n" not in said


def test_what_changes_no_result_is_advised_first() -> None:
    said = refused(int(0.9 * estimate(PPO, SIZE).total))
    assert said.index("ppo.optim.micro_batch_tokens=2048") < said.index("model.dtype=bfloat16")
    assert (
        said.index("model.dtype=bfloat16") < said.index("model.tune=lora") < said.index("model.upper_layers=")
    )


@pytest.mark.parametrize("share", [0.95, 0.7, 0.5])
def test_each_change_that_is_advised_alone_is_enough(share: float) -> None:
    free = int(share * estimate(PPO, SIZE).total)
    said = advice(PPO, SIZE, free)
    named = [change for change in changes(PPO, SIZE, free) if f"{change.setting} (" in said]
    assert named
    assert all(estimate(change.work, SIZE).total <= free for change in named)


def test_the_mildest_value_that_is_enough_is_named() -> None:
    quarter = estimate(replace(PPO, micro_batch_tokens=1024), SIZE).total
    assert "ppo.optim.micro_batch_tokens=1024 (" in refused(quarter)
    assert "ppo.optim.micro_batch_tokens=2048 (" not in refused(quarter)


def test_changes_are_put_together_where_none_is_enough_alone() -> None:
    # By hand: fewer tokens, bf16 and a quarter of the layers.
    work = replace(PPO, micro_batch_tokens=768, dtype=torch.bfloat16, upper_layers=7, decode_batch=4)
    free = estimate(work, SIZE).total
    said = refused(free)
    assert "ppo.optim.micro_batch_tokens=768 and " in said
    assert "model.base" not in said


def test_what_is_advised_together_is_a_recipe_that_can_be() -> None:
    said = refused(int(1.2 * GIB))
    assert "model.tune=lora" in said
    assert "model.lora.upper_layers=" in said
    assert "model.upper_layers=" not in said
    upper = [change.setting for change in changes(replace(PPO, upper_layers=20), SIZE, 0)]
    assert "model.tune=lora with model.upper_layers=null" in upper


def test_a_smaller_model_is_the_last_word() -> None:
    assert refused(GIB // 4).endswith("take a smaller model.base")


def test_settings_are_named_as_the_stage_has_them() -> None:
    free = int(0.8 * estimate(PPO, SIZE).total)
    assert "reward.upper_layers=" in refused(free, stage="reward", group="reward")
    assert "model.lora.upper_layers=" in refused(GIB, full=False)
    sample = replace(PPO, stage="sample", group="sample", micro_batch_tokens=0, trunks=1)
    assert "sample.batch=16" in refused(
        estimate(sample, SIZE).total - 1, stage="sample", group="sample", micro_batch_tokens=0, trunks=1
    )


def test_what_can_be_had_is_more_than_is_held_and_less_than_there_is() -> None:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert torch.zeros(1 << 20).nbytes < available(torch.device("cpu")) < 2 * there
