"""Every trainer on a tiny model of random weights and a few random rows: a run of a second or two.

A trainer is prepared once, up to its first step, and then run on a copy of that state with a folder of its own.
Each row sets what makes a run hard to go on with: controllers that steer, value warm-up, a pretraining mix,
labels that are drawn, members that skip what they did not draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tutelage.core.method_settings import (
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    OnlineDpoSettings,
    OnlineSettings,
    PpoSettings,
    RejectionSettings,
    RlooSettings,
)
from tutelage.core.records import Demonstration, Prompt
from tutelage.core.settings import LoraSettings, ModelSettings, RewardSettings, SftSettings, TokenSettings
from tutelage.models.ensemble import new_ensemble
from tutelage.models.heads import ScalarHead
from tutelage.models.perspectives import PerspectiveModel
from tutelage.models.roles import new_reward_model, open_base
from tutelage.models.scoring import Pair
from tutelage.models.trunk import Trunk
from tutelage.sampling.local import LocalSampler
from tutelage.training.direct import Learner
from tutelage.training.dpo import train_dpo
from tutelage.training.ensemble import train_ensemble
from tutelage.training.grpo import train_grpo
from tutelage.training.kto import train_kto
from tutelage.training.online import Actors
from tutelage.training.online_dpo import train_online_dpo
from tutelage.training.perspectives import train_perspectives
from tutelage.training.ppo import train_ppo
from tutelage.training.ranked import RankedExample
from tutelage.training.rejection import train_rejection
from tutelage.training.reward_model import train_reward_model, trunk_parameters
from tutelage.training.rloo import train_rloo
from tutelage.training.sft import train_sft, trainable

if TYPE_CHECKING:
    from tutelage.core.recorder import Recorder

SEED = 3
LORA = LoraSettings(rank=4, alpha=8)
OPTIM = {"learning_rate": 1e-2}
STEPS = {"epochs": 4, "batch": 4, "checkpoint_every": 1, "optim": OPTIM}
LOOP = {
    "iterations": 12,
    "rollouts": 8,
    "minibatch": 4,
    "checkpoint_every": 1,
    "evaluate_every": 3,
    "max_update_kl": None,
    "optim": OPTIM,
}
CATEGORIES = ("helpful", "harmless")


@dataclass(frozen=True)
class Prepared:
    """A trainer before its first step: what it will move, and the call that trains and says what was measured."""

    moved: Sequence[Tensor]
    train: Callable[[Path, Recorder], dict[str, Any]]


Prepare = Callable[[Path], Prepared]


def tiny_trunk(base: Path) -> Trunk:
    """On the CPU, where the same work gives the same bits."""
    tokens = TokenSettings(max_prompt=32, max_response=12)
    return open_base(ModelSettings(base=str(base), dtype="float32", device="cpu"), tokens)


def demonstrations(count: int) -> list[Demonstration]:
    asked = ("Say hello", "What is two and two?", "Name a colour, please", "Tell me about the sea")
    return [
        Demonstration(Prompt.of(f"{asked[i % 4]} ({i})"), f"I do not know about {i % 5}.")
        for i in range(count)
    ]


def tokens(generator: torch.Generator, least: int, most: int) -> tuple[int, ...]:
    count = int(torch.randint(least, most + 1, (), generator=generator))
    return tuple(torch.randint(3, 320, (count,), generator=generator).tolist())


def ranked(count: int, seed: int) -> list[RankedExample]:
    """Prompts with three responses each, the first the best."""
    draw = torch.Generator().manual_seed(seed)
    examples: list[RankedExample] = []
    for number in range(count):
        responses = tuple(tokens(draw, 3, 10) for _ in range(3))
        ranking = (((0,), (1,), (2,)), 1.0)
        pairs = ((0, 1, 1.0, 1.0), (0, 2, 1.0, 1.0), (1, 2, 1.0, 1.0))
        words = tuple(len(r) for r in responses)
        prompt, category = tokens(draw, 4, 16), CATEGORIES[number % 2]
        examples.append(
            RankedExample(f"p{seed}-{number}", category, prompt, responses, (ranking,), pairs, words)
        )
    return examples


def _sft(base: Path) -> Prepared:
    trunk, rows = tiny_trunk(base), demonstrations(44)
    trunk.add_adapter("sft", LORA, SEED)
    settings = SftSettings.model_validate({**STEPS, "evaluate_every": 3, "patience": 100})

    def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
        where: dict[str, Any] = {"folder": folder, "recorder": recorder, "seed": SEED}
        return dict(train_sft(trunk, "sft", rows[:40], rows[40:], settings, **where))

    return Prepared(trainable(trunk, "sft"), train)


def _reward(**changes: Any) -> Prepare:
    """One reward model, an ensemble, or one with perspectives, by the settings."""

    def prepare(base: Path) -> Prepared:
        trunk, settings = tiny_trunk(base), RewardSettings.model_validate({**STEPS, **changes})
        run: Callable[..., dict[str, Any]]
        if settings.ensemble.members > 1:
            model: Any = new_ensemble(trunk, "reward", LORA, settings.upper_layers, settings.ensemble, SEED)
            members = range(len(model.members))
            moved = [p for i in members for p in [*model.own_parameters(i), model.members[i].head.weight]]
            run = train_ensemble
        elif settings.perspectives:
            one = new_reward_model(trunk, "reward", LORA, None, SEED)
            weights = {name: p.weight for name, p in settings.perspectives.items()}
            model = PerspectiveModel(one.trunk, one.adapter, weights)
            moved = [*trunk_parameters(model), *model.heads.parameters()]
            run = train_perspectives
        else:
            model = new_reward_model(trunk, "reward", LORA, None, SEED)
            moved, run = [*trunk_parameters(model), model.head.weight], train_reward_model

        def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
            where: dict[str, Any] = {"folder": folder, "recorder": recorder, "seed": SEED}
            return run(model, ranked(40, 1), ranked(12, 2), settings, **where)

        return Prepared(moved, train)

    return prepare


def _online(run: Callable[..., dict[str, float]], settings: OnlineSettings, value: bool = False) -> Prepare:
    """A method that learns from its own samples; a response scores by how many of its tokens are even."""

    def score(pairs: Sequence[Pair]) -> Tensor:
        return torch.tensor([4.0 * sum(t % 2 == 0 for t in r) / len(r) for _, r in pairs])

    def prepare(base: Path) -> Prepared:
        trunk, draw = tiny_trunk(base), torch.Generator().manual_seed(SEED)
        trunk.add_adapter("policy", LORA, SEED)
        head = ScalarHead(trunk.width, trunk.device) if value else None
        sampler = LocalSampler(trunk, "policy", settings.rollouts)
        actors = Actors(trunk, "policy", trunk, None, head, sampler, score)
        prompts = [tokens(draw, 4, 16) for _ in range(20)]
        more = {"pretraining": [(e.prompt, e.responses[0]) for e in ranked(12, 4)]} if value else {}

        def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
            where: dict[str, Any] = {"folder": folder, "recorder": recorder, "seed": SEED, **more}
            return dict(run(actors, prompts[:16], prompts[16:], settings, **where))

        return Prepared(actors.parameters(), train)

    return prepare


def _direct(run: Callable[..., dict[str, float]], settings: DpoSettings | KtoSettings) -> Prepare:
    """A method that learns from comparisons."""

    def prepare(base: Path) -> Prepared:
        trunk = tiny_trunk(base)
        trunk.add_adapter("policy", LORA, SEED)
        learner = Learner(trunk, "policy", trunk, None)

        def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
            where: dict[str, Any] = {"folder": folder, "recorder": recorder, "seed": SEED}
            return dict(run(learner, ranked(40, 1), ranked(12, 2), settings, **where))

        return Prepared(trainable(trunk, "policy"), train)

    return prepare


def _ppo() -> PpoSettings:
    objective = {"kl_controller": "adaptive", "pretraining_coefficient": 0.3, "kl_horizon": 100}
    return PpoSettings.model_validate({**LOOP, "value_warmup": 2, "objective": objective})


def _grouped(objective: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    told = {**LOOP, "responses_per_prompt": 4, **changes}
    return told if objective is None else {**told, "objective": objective}


TRAINERS: dict[str, Prepare] = {
    "sft": _sft,
    "reward": _reward(),
    "ensemble": _reward(ensemble={"members": 2}, upper_layers=1),
    "perspectives": _reward(perspectives={name: {"categories": [name]} for name in CATEGORIES}),
    "ppo": _online(train_ppo, _ppo(), value=True),
    "rloo": _online(train_rloo, RlooSettings.model_validate(_grouped({"kl_controller": "target"}))),
    "grpo": _online(train_grpo, GrpoSettings.model_validate(_grouped({"drop_uninformative": True}))),
    "rejection": _online(train_rejection, RejectionSettings.model_validate(_grouped(epochs=3))),
    "online_dpo": _online(train_online_dpo, OnlineDpoSettings.model_validate(_grouped(labels="drawn"))),
    "dpo": _direct(train_dpo, DpoSettings.model_validate(STEPS)),
    "kto": _direct(train_kto, KtoSettings.model_validate(STEPS)),
}
