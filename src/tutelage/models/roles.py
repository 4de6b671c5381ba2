"""Policies and reward models by folder: which trunk, which adapter, in adapter mode and in full mode.

In adapter mode everything stands on one trunk, which is loaded once and passed along; in full mode each
role has weights of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.settings import LoraSettings, ModelSettings, TokenSettings
from tutelage.data.tokens import TokenContract, require_same
from tutelage.models import lora
from tutelage.models.ensemble import RewardEnsemble, is_ensemble
from tutelage.models.heads import ScalarHead
from tutelage.models.loading import load_base
from tutelage.models.perspectives import PerspectiveModel, has_perspectives
from tutelage.models.reward import RewardModel, Scorer
from tutelage.models.trunk import Trunk

Say = Callable[[str], None]


@dataclass(frozen=True)
class Policy:
    """A trunk and the adapter that makes it this policy (None: the trunk's own weights)."""

    trunk: Trunk
    adapter: str | None


def open_base(model: ModelSettings, tokens: TokenSettings, say: Say = lambda _: None) -> Trunk:
    """The base model of a recipe: with a frozen trunk for adapters, or trainable in full mode."""
    trunk = Trunk(load_base(model, tokens, say), adapters=model.tune == "lora")
    if model.upper_layers is not None:
        trunk.freeze_below(model.upper_layers)
    return trunk


def open_policy(
    model: ModelSettings,
    tokens: TokenSettings,
    folder: Path,
    name: str,
    trunk: Trunk | None = None,
    say: Say = lambda _: None,
) -> Policy:
    """A policy that a stage left in `folder`, as the adapter `name` on `trunk` (or on a freshly loaded one).

    Raises `ContractMismatch` if it was trained with another template, tokens or vocabulary.
    """
    if (folder / lora.CONFIG).exists():
        trunk = trunk or open_base(model, tokens, say)
        saved = TokenContract.load(folder).fingerprint()
        require_same(trunk.contract.fingerprint(), saved, f"the model {trunk.name}", f"the policy {folder}")
        trunk.load_adapter(name, folder)
        return Policy(trunk, name)
    whole = model.model_copy(update={"base": str(folder), "revision": None, "tune": "full"})
    return Policy(open_base(whole, tokens, say), None)


def save_policy(policy: Policy, folder: Path) -> None:
    """Leave a policy in Hugging Face layout: a PEFT adapter, or the whole model."""
    folder.mkdir(parents=True, exist_ok=True)
    if policy.adapter is not None:
        policy.trunk.save_adapter(policy.adapter, folder)
        return
    policy.trunk.model.save_pretrained(folder)
    policy.trunk.contract.save(folder)


def new_reward_model(
    trunk: Trunk, name: str, settings: LoraSettings, upper_layers: int | None, seed: int
) -> RewardModel:
    """An untrained reward model under a score of zero: a fresh adapter, or in full mode the whole trunk.

    `upper_layers`: only so many layers, from the top, carry the adapter or are trained.
    """
    if not trunk.layers:
        return reward_model_from(Policy(trunk, None), name, upper_layers)
    trunk.add_adapter(name, settings.model_copy(update={"upper_layers": upper_layers}), seed)
    return RewardModel(trunk, name, ScalarHead(trunk.width, trunk.device))


def reward_model_from(policy: Policy, name: str, upper_layers: int | None = None) -> RewardModel:
    """An untrained reward model that starts where a policy stands, under a score of zero.

    In adapter mode it has an adapter `name` of its own and leaves the policy's as it is; in full mode it
    takes over the policy's trunk (Ouyang et al. 2022, section 3.4, start from the SFT model), of which
    only the `upper_layers` are trained.
    """
    trunk = policy.trunk
    if policy.adapter is not None:
        trunk.copy_adapter(policy.adapter, name)
    elif upper_layers is not None:
        trunk.freeze_below(upper_layers)
    return RewardModel(trunk, name if trunk.layers else None, ScalarHead(trunk.width, trunk.device))


def open_reward_model(
    model: ModelSettings,
    tokens: TokenSettings,
    folder: Path,
    name: str,
    trunk: Trunk | None = None,
    say: Say = lambda _: None,
) -> Scorer:
    """A reward model, or an ensemble of them, that a stage left in `folder`."""
    if is_ensemble(folder):
        return RewardEnsemble.load(trunk or open_base(model, tokens, say), folder, name)
    if (folder / lora.CONFIG).exists():
        one = RewardModel.load(trunk or open_base(model, tokens, say), folder, name)
    else:
        whole = model.model_copy(update={"base": str(folder), "revision": None})
        one = RewardModel.load_full(Trunk(load_base(whole, tokens, say), adapters=False), folder)
    return PerspectiveModel.of(one, folder) if has_perspectives(folder) else one
