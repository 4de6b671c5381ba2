"""reward: the model whose scores online methods maximise, trained on the comparisons of the 'reward' split."""

from __future__ import annotations

import json
from typing import Any

from tutelage.core.settings import RewardSettings
from tutelage.models.ensemble import RewardEnsemble, new_ensemble
from tutelage.models.perspectives import PerspectiveModel
from tutelage.models.reward import RewardModel
from tutelage.models.roles import new_reward_model, open_base, reward_model_from
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.common import Comparisons, check_memory, open_sft
from tutelage.training.ensemble import train_ensemble
from tutelage.training.epochs import Where
from tutelage.training.perspectives import train_perspectives
from tutelage.training.reward_model import train_reward_model


def run(context: StageContext) -> dict[str, Any]:
    return train_judge(context, context.recipe.reward, "reward")


def train_judge(context: StageContext, settings: RewardSettings, split: str) -> dict[str, Any]:
    """Train a reward model on one split of the comparisons and measure it on the 'measure' split."""
    comparisons = Comparisons.of(context, split)
    check_memory(context)
    model = untrained(context, settings)
    contract = model.trunk.contract
    train, held_out = (comparisons.examples(name, contract) for name in (split, "measure"))
    where: Where = {"folder": context.folder, "recorder": context.recorder, "seed": context.seed}
    if isinstance(model, RewardEnsemble):
        measured = train_ensemble(model, train, held_out, settings, **where)
    elif isinstance(model, PerspectiveModel):
        measured = train_perspectives(model, train, held_out, settings, **where)
    else:
        measured = train_reward_model(model, train, held_out, settings, **where)
    model.save(context.folder / "model")
    (context.folder / "measured.json").write_text(json.dumps(measured, indent=2))
    accuracy = measured["accuracy"]
    if accuracy is not None:
        context.say(
            f"held-out accuracy {accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}] "
            f"on {accuracy['n']} comparisons"
        )
    kept = ("accuracy", "ece_after", "temperature", *({"ensemble", "perspectives"} & measured.keys()))
    return {name: measured.get(name) for name in kept}


def untrained(context: StageContext, settings: RewardSettings) -> RewardModel | RewardEnsemble:
    """What is to be trained, at its start: on the base model, or where the SFT policy stands."""
    name, lora, seed = context.stage, context.recipe.model.lora, context.seed
    policy = open_sft(context) if settings.start == "sft" else None
    trunk = policy.trunk if policy else open_base(context.recipe.model, context.recipe.tokens, context.say)
    if settings.ensemble.members > 1:
        start = policy.adapter if policy else None
        return new_ensemble(trunk, name, lora, settings.upper_layers, settings.ensemble, seed, start)
    if policy is not None:
        one = reward_model_from(policy, name, settings.upper_layers)
    else:
        one = new_reward_model(trunk, name, lora, settings.upper_layers, seed)
    weights = {name: perspective.weight for name, perspective in settings.perspectives.items()}
    return PerspectiveModel(one.trunk, one.adapter, weights) if weights else one
