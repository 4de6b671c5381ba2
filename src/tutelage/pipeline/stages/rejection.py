"""rejection: the SFT policy learns the best of its own responses, by the reward model."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.online import open_actors, train_online
from tutelage.training.rejection import train_rejection


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.rejection
    return train_online(context, open_actors(context, settings), settings, train_rejection)
