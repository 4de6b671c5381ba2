"""ppo: the SFT policy is trained against the reward model, held near itself by the KL divergence."""

from __future__ import annotations

from functools import partial
from typing import Any

from safetensors.torch import save_file

from tutelage.models.heads import ScalarHead
from tutelage.models.scoring import Pair
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.online import open_actors, train_online
from tutelage.training.ppo import train_ppo
from tutelage.training.sft import encode


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.ppo
    actors = open_actors(context, settings)
    value = ScalarHead(actors.policy.width, actors.policy.device)
    actors.value, actors.value_trains_trunk = value, settings.value_trains_trunk
    mixed_in: list[Pair] = []
    if settings.objective.pretraining_coefficient > 0:
        mixed_in = encode(ImportedData.read(context.inputs["data"]).train, actors.policy.contract)
    metrics = train_online(context, actors, settings, partial(train_ppo, pretraining=mixed_in))
    save_file({"weight": value.weight.detach().cpu()}, context.folder / "model" / "value_head.safetensors")
    return metrics
