"""reward: the model whose scores PPO maximises, trained on the comparisons of the 'reward' split."""

from __future__ import annotations

import json
from typing import Any

from tutelage.core.errors import DataError
from tutelage.core.settings import RewardSettings
from tutelage.models.reward import RewardModel
from tutelage.models.roles import new_reward_model, open_base, reward_model_from
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData, Resolved
from tutelage.pipeline.stages.common import check_memory, open_sft
from tutelage.training.ranked import ranked_examples
from tutelage.training.reward_model import train_reward_model


def run(context: StageContext) -> dict[str, Any]:
    return train_judge(context, context.recipe.reward, "reward")


def train_judge(context: StageContext, settings: RewardSettings, split: str) -> dict[str, Any]:
    """Train a reward model on one split of the comparisons and measure it on the 'measure' split."""
    data, resolved = ImportedData.read(context.inputs["data"]), Resolved.read(context.inputs["judge"])
    if not resolved.of_split(split)[1]:
        raise DataError(
            f"no comparison is in the split '{split}', so {context.stage} has nothing to train on: "
            "give more comparisons, or change data.referee_share and data.measure_share"
        )
    check_memory(context, "reward", settings.optim.micro_batch_tokens, num_adapters=1)
    model = untrained(context, settings)
    contract = model.trunk.contract
    prompts, responses = data.prompts | resolved.prompts, data.responses | resolved.responses
    train = ranked_examples(prompts, responses, *resolved.of_split(split), contract)
    held_out = ranked_examples(prompts, responses, *resolved.of_split("measure"), contract)
    measured = train_reward_model(
        model,
        train,
        held_out,
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    model.save(context.folder / "model")
    (context.folder / "measured.json").write_text(json.dumps(measured, indent=2))
    accuracy = measured["accuracy"]
    if accuracy is not None:
        context.say(
            f"held-out accuracy {accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}] "
            f"on {accuracy['n']} comparisons"
        )
    return {
        "accuracy": accuracy,
        "ece_after": measured.get("ece_after"),
        "temperature": measured["temperature"],
    }


def untrained(context: StageContext, settings: RewardSettings) -> RewardModel:
    """A reward model at its start: on the base model, or where the SFT policy stands."""
    if settings.start == "sft":
        return reward_model_from(open_sft(context), context.stage, settings.upper_layers)
    recipe = context.recipe
    trunk = open_base(recipe.model, recipe.tokens, context.say)
    return new_reward_model(trunk, context.stage, recipe.model.lora, settings.upper_layers, context.seed)
