"""grpo: responses to one prompt are compared with each other, and the KL to the SFT policy is in the loss."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.online import open_actors, train_online
from tutelage.training.grpo import train_grpo


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.grpo
    return train_online(context, open_actors(context, settings), settings, train_grpo)
