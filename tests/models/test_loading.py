"""Loading base models: what can go wrong, each with one sentence of the right error class."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tutelage.core.errors import ContractMismatch, ModelError, NetworkError, TutelageError
from tutelage.core.settings import ModelSettings, TokenSettings
from tutelage.models import loading
from tutelage.models.loading import Loaded, load_base, pick_device, pick_dtype
from tutelage.models.roles import Policy, open_policy, save_policy
from tutelage.models.trunk import Trunk


def _load(base: Path | str, tokens: TokenSettings | None = None) -> Loaded:
    settings = ModelSettings(base=str(base), dtype="float32", device="cpu")
    return load_base(settings, tokens or TokenSettings())


def _copy(tiny_folder: Path, folder: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, folder / "model"))


def _damaged_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _no_end_token(folder: Path) -> None:
    file = folder / "tokenizer_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in content.items() if k != "eos_token"}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "there is no config.json in it"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "is incomplete"),
    "half the weights": (_damaged_weights, "are damaged"),
    "config that is no JSON": (lambda f: (f / "config.json").write_text("{"), "incomplete|cannot be loaded"),
    "unknown architecture": (
        lambda f: (f / "config.json").write_text('{"model_type": "abacus"}'), "cannot be loaded",
    ),
    "tokenizer that is no JSON": (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be loaded"),
    "no tokenizer": (
        lambda f: [(f / n).unlink() for n in ("tokenizer.json", "tokenizer_config.json")],
        "cannot be loaded|is incomplete",
    ),
    "no end token": (_no_end_token, "has no end of text"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_one_clear_sentence(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    damage, said = DAMAGE[name]
    folder = _copy(tiny_folder, tmp_path)
    damage(folder)
    with pytest.raises(ModelError, match=said) as caught:
        _load(folder)
    _is_one_sentence(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model folder") as caught:
        _load(tmp_path / "nowhere")
    _is_one_sentence(caught.value)


def test_a_hub_name_without_network() -> None:
    with pytest.raises(
        NetworkError, match="nobody/nothing is neither a local folder nor reachable"
    ) as caught:
        _load("nobody/nothing")
    _is_one_sentence(caught.value)


def _is_one_sentence(error: TutelageError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 500


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ModelError, match=r"set model\.device=auto"):
        pick_device("cuda")


def test_automatic_precision_follows_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(loading, "has_native_bf16", lambda _, native=native: native)
        assert pick_dtype("auto", cpu) is expected
    assert pick_dtype("float32", cpu) is torch.float32


@pytest.mark.parametrize("adapters", [True, False], ids=["adapter", "full"])
def test_a_saved_policy_opens_as_it_was_and_refuses_another_recipe(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path, adapters: bool
) -> None:
    from tests.models.helpers import add_random_adapter, sequences
    from tutelage.models.packed import pack

    trunk = new_trunk(adapters=adapters)
    if adapters:
        add_random_adapter(trunk, "policy")
    else:
        with torch.no_grad():
            trunk.model.base_model.norm.weight.mul_(1.5)
    policy = Policy(trunk, "policy" if adapters else None)
    save_policy(policy, tmp_path)
    model = ModelSettings(base=str(tiny_folder), dtype="float32", device="cpu")
    again = open_policy(model, TokenSettings(), tmp_path, "again")
    packed = pack(sequences((9, 4)))
    with torch.no_grad(), policy.trunk.using(policy.adapter), again.trunk.using(again.adapter):
        assert torch.equal(again.trunk.hidden(packed), policy.trunk.hidden(packed))
    with pytest.raises(ContractMismatch, match="differ in the system message"):
        open_policy(model, TokenSettings(system="Be brief."), tmp_path, "again")
