"""Adapters: fresh ones change nothing, and PEFT reads ours and we read PEFT's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.helpers import add_random_adapter, alone, plain_model, sequences
from tutelage.core.errors import ModelError
from tutelage.core.settings import LoraSettings
from tutelage.models.packed import pack
from tutelage.models.tiny import make_tiny
from tutelage.models.trunk import Trunk

ROW = sequences((20,))[0]


def _logits(trunk: Trunk, adapter: str | None) -> torch.Tensor:
    with torch.no_grad(), trunk.using(adapter):
        return trunk.hidden(pack([ROW])) @ trunk.head.t()


def test_a_fresh_adapter_changes_nothing_and_learns(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    bare = _logits(trunk, None)
    parameters = trunk.add_adapter("policy", LoraSettings(rank=4), seed=1)
    assert torch.equal(_logits(trunk, "policy"), bare)
    with trunk.using("policy"):
        trunk.hidden(pack([ROW])).square().sum().backward()
    # A gets no gradient while B is zero; B does, everywhere.
    assert all(p.grad is not None for p in parameters)
    assert all(float(b.grad.abs().sum()) > 0 for b in parameters[1::2])
    assert all(p.grad is None for p in trunk.model.parameters() if all(p is not q for q in parameters))


def test_the_forward_pass_is_the_merged_weight(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "policy")
    layer = trunk.layers["model.layers.0.mlp.up_proj"]
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    with trunk.using("policy"), torch.no_grad():
        torch.testing.assert_close(layer(x), x @ layer.merged("policy").t(), atol=1e-5, rtol=1e-5)
    assert torch.equal(layer.merged(None), layer.base.weight)


def test_upper_layers_only(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "reward", upper_layers=1)
    assert trunk.shapes["reward"].layers == (1,)
    # 7 linear layers of one decoder layer, two matrices each.
    assert len(trunk.adapter_parameters("reward")) == 14


def test_a_copy_starts_equal_and_goes_its_own_way(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "sft")
    before = _logits(trunk, "sft")
    copied = trunk.copy_adapter("sft", "policy")
    assert torch.equal(_logits(trunk, "policy"), before)
    with torch.no_grad():
        copied[0].add_(1.0)
    assert torch.equal(_logits(trunk, "sft"), before)
    assert not torch.allclose(_logits(trunk, "policy"), before)


def test_peft_loads_our_adapter(new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    trunk = new_trunk()
    add_random_adapter(trunk, "policy", upper_layers=1)
    trunk.save_adapter("policy", tmp_path)
    theirs = alone(PeftModel.from_pretrained(plain_model(tiny_folder), str(tmp_path)), ROW)
    torch.testing.assert_close(_logits(trunk, "policy"), theirs, atol=1e-4, rtol=0)
    assert not torch.allclose(_logits(trunk, None), theirs, atol=1e-2)


@pytest.mark.parametrize(
    "options",
    [{"target_modules": "all-linear"}, {"target_modules": ["q_proj", "v_proj"], "use_rslora": True}],
    ids=["all", "two modules, rank-stabilised"],
)
def test_an_adapter_made_by_peft_loads_here(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = _peft_model(tiny_folder, tmp_path, **options)
    trunk = new_trunk()
    trunk.load_adapter("theirs", tmp_path)
    torch.testing.assert_close(_logits(trunk, "theirs"), alone(model, ROW), atol=1e-4, rtol=0)


def test_what_we_read_we_save_the_same(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path
) -> None:
    _peft_model(tiny_folder, tmp_path / "theirs", target_modules=["q_proj", "v_proj"])
    trunk, again = new_trunk(), new_trunk()
    trunk.load_adapter("x", tmp_path / "theirs")
    trunk.save_adapter("x", tmp_path / "ours")
    again.load_adapter("x", tmp_path / "ours")
    assert torch.equal(_logits(trunk, "x"), _logits(again, "x"))


def _peft_model(tiny_folder: Path, folder: Path, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", init_lora_weights=False, **options)
    model = get_peft_model(plain_model(tiny_folder), config)
    model.save_pretrained(str(folder))
    return model.eval()


def test_using_is_undone_even_after_an_error(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "a")
    with pytest.raises(ZeroDivisionError), trunk.using("a"):
        assert trunk.active == "a"
        raise ZeroDivisionError
    assert trunk.active is None


def test_errors_name_what_is_wrong(new_trunk: Callable[..., Trunk], tmp_path: Path) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "a")
    with pytest.raises(ModelError, match="no adapter 'b': it has a"), trunk.using("b"):
        pass
    with pytest.raises(ModelError, match="already carries an adapter 'a'"):
        trunk.copy_adapter("a", "a")
    with pytest.raises(ModelError, match="incomplete or damaged"):
        trunk.load_adapter("b", tmp_path)
    trunk.save_adapter("a", tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(ModelError, match="uses use_dora"):
        trunk.load_adapter("b", tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"half a file")
    with pytest.raises(ModelError, match="incomplete or damaged"):
        trunk.load_adapter("b", tmp_path)
    assert "b" not in trunk.shapes


def test_an_adapter_of_another_base_is_refused(new_trunk: Callable[..., Trunk], tmp_path: Path) -> None:
    other = new_trunk(make_tiny(tmp_path / "wide", width=32))
    add_random_adapter(other, "a")
    other.save_adapter("a", tmp_path / "adapter")
    trunk = new_trunk()
    with pytest.raises(ModelError, match="does not fit this base model"):
        trunk.load_adapter("a", tmp_path / "adapter")
    trunk.add_adapter("a", LoraSettings(rank=2), seed=0)  # nothing of the failed one is left
