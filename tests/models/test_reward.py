"""Reward models: scores that depend on nothing but the text, and that other libraries reproduce."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.helpers import add_random_adapter, padded, sequences
from tutelage.core.errors import ContractMismatch, ModelError
from tutelage.core.settings import LoraSettings, ModelSettings, TokenSettings
from tutelage.models.heads import ScalarHead
from tutelage.models.reward import RewardModel
from tutelage.models.roles import Policy, new_reward_model, open_base, open_reward_model, reward_model_from
from tutelage.models.scoring import Pair, joined
from tutelage.models.tiny import make_tiny
from tutelage.models.trunk import Trunk

END = 2


def _pairs() -> list[Pair]:
    prompts, answers = sequences((5, 30, 9, 2, 17)), sequences((8, 1, 40, 3, 12), seed=5)
    return [(prompt, [*answer, END]) for prompt, answer in zip(prompts, answers, strict=True)]


def _reward_model(trunk: Trunk) -> RewardModel:
    adapter = "reward" if trunk.layers else None
    if adapter:
        add_random_adapter(trunk, adapter)
    return RewardModel(trunk, adapter, ScalarHead(trunk.width, trunk.device, spread=1.0, seed=4))


def test_a_new_reward_model_scores_zero(new_trunk: Callable[..., Trunk]) -> None:
    model = new_reward_model(new_trunk(), "reward", LoraSettings(rank=2), upper_layers=1, seed=0)
    assert model.scores(_pairs()).tolist() == [0.0] * 5


def test_one_that_starts_from_a_policy_sees_what_it_sees_and_leaves_it_alone(
    new_trunk: Callable[..., Trunk],
) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "sft")
    before = [p.detach().clone() for p in trunk.adapter_parameters("sft")]
    model = reward_model_from(Policy(trunk, "sft"), "reward")
    packed = joined(_pairs(), trunk.device)
    with torch.no_grad(), trunk.using("sft"):
        policy_sees = trunk.hidden(packed)
    with torch.no_grad(), trunk.using("reward"):
        torch.testing.assert_close(trunk.hidden(packed), policy_sees, atol=0, rtol=0)
    assert model.scores(_pairs()).tolist() == [0.0] * 5
    with torch.no_grad():
        for parameter in trunk.adapter_parameters("reward"):
            parameter.add_(1.0)
    for parameter, old in zip(trunk.adapter_parameters("sft"), before, strict=True):
        torch.testing.assert_close(parameter, old, atol=0, rtol=0)


def test_in_full_mode_only_the_upper_layers_learn(tiny_folder: Path) -> None:
    trunk = open_base(ModelSettings(base=str(tiny_folder), tune="full"), TokenSettings())
    model = new_reward_model(trunk, "reward", LoraSettings(), upper_layers=1, seed=0)
    with torch.no_grad():
        model.head.weight.fill_(1.0)
    model.raw(_pairs()).sum().backward()
    learnt = {name for name, p in trunk.model.named_parameters() if p.grad is not None}
    last = f"layers.{trunk.num_layers - 1}."
    assert learnt and all(last in name or name == "model.norm.weight" for name in learnt)
    assert learnt == {name for name, p in trunk.model.named_parameters() if p.requires_grad}


def test_a_score_depends_on_nothing_beside_its_text(new_trunk: Callable[..., Trunk]) -> None:
    model, pairs = _reward_model(new_trunk()), _pairs()
    together = model.scores(pairs)
    one_by_one = torch.cat([model.scores([pair]) for pair in pairs])
    turned = model.scores(pairs[::-1]).flip(0)
    for other in (one_by_one, turned, *(model.scores(pairs, max_tokens=n) for n in (1, 50, 70))):
        torch.testing.assert_close(other, together, atol=1e-4, rtol=0)
    assert together.std() > 0.1


def test_gradients_do_not_depend_on_the_micro_batch(new_trunk: Callable[..., Trunk]) -> None:
    model, pairs = _reward_model(new_trunk()), _pairs()
    parameters = [model.head.weight, *model.trunk.adapter_parameters("reward")]
    whole = torch.autograd.grad(model.raw(pairs).sum(), parameters)
    parts = [torch.autograd.grad(model.raw(p).sum(), parameters) for p in (pairs[:2], pairs[2:])]
    for one, (left, right) in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(one, left + right, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("mode", ["adapter", "full"])
def test_transformers_gives_the_same_scores_even_padded(
    new_trunk: Callable[..., Trunk], tmp_path: Path, mode: str, tied: bool
) -> None:
    base = make_tiny(tmp_path / "base", tied=tied, seed=3)
    model, pairs = _reward_model(new_trunk(base, adapters=mode == "adapter")), _pairs()
    model.save(tmp_path / "saved")
    theirs = _classifier(base, tmp_path / "saved", mode)
    for side in ("right", "left"):
        ids, seen = padded([[*prompt, *answer] for prompt, answer in pairs], side, theirs.config.pad_token_id)
        with torch.no_grad():
            logits = theirs(input_ids=ids, attention_mask=seen).logits[:, 0]
        # Padding on the left shifts positions, which rotary attention does not see.
        torch.testing.assert_close(logits, model.scores(pairs), atol=1e-4, rtol=0)


def _classifier(base: Path, folder: Path, mode: str) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    place = base if mode == "adapter" else folder
    model = AutoModelForSequenceClassification.from_pretrained(str(place), num_labels=1, dtype=torch.float32)
    if mode == "adapter":
        model.config.pad_token_id = AutoTokenizer.from_pretrained(str(folder)).pad_token_id
        model = PeftModel.from_pretrained(model, str(folder))
    return model.eval()


@pytest.mark.parametrize("adapters", [True, False], ids=["adapter", "full"])
def test_a_saved_reward_model_opens_as_it_was(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, tmp_path: Path, adapters: bool
) -> None:
    model = _reward_model(new_trunk(adapters=adapters))
    model.temperature, model.mean, model.std = 1.7, 0.3, 2.0
    model.save(tmp_path)
    settings = ModelSettings(base=str(tiny_folder), dtype="float32", device="cpu")
    again = open_reward_model(settings, TokenSettings(), tmp_path, "reward")
    assert torch.equal(again.scores(_pairs()), model.scores(_pairs()))
    assert (again.temperature, again.mean, again.std) == (1.7, 0.3, 2.0)
    # (1.3 - 0.3) / 2 = 0.5
    assert again.normalised(torch.tensor([1.3])).item() == pytest.approx(0.5)


def test_what_is_no_reward_model_is_refused(new_trunk: Callable[..., Trunk], tmp_path: Path) -> None:
    trunk = new_trunk()
    add_random_adapter(trunk, "policy")
    trunk.save_adapter("policy", tmp_path / "policy")
    with pytest.raises(ModelError, match="has no score head"):
        RewardModel.load(trunk, tmp_path / "policy", "reward")
    with pytest.raises(ModelError, match="not a reward model"):
        RewardModel.load_full(new_trunk(adapters=False), tmp_path / "policy")
    model = _reward_model(trunk)
    model.save(tmp_path / "reward")
    (tmp_path / "reward" / "reward.json").write_text("{")
    with pytest.raises(ModelError, match=r"reward\.json is missing or damaged"):
        RewardModel.load(new_trunk(), tmp_path / "reward", "reward")


def test_another_contract_is_refused_by_name(new_trunk: Callable[..., Trunk], tmp_path: Path) -> None:
    _reward_model(new_trunk()).save(tmp_path)
    file = tmp_path / "token_contract.json"
    content = json.loads(file.read_text())
    content["settings"]["system"] = content["fingerprint"]["system"] = "You are terse."
    file.write_text(json.dumps(content))
    with pytest.raises(ContractMismatch, match="differ in the system message"):
        RewardModel.load(new_trunk(), tmp_path, "reward")
