"""rloo: as ppo, with the other responses to a prompt in the place of a value head."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.online import open_actors, train_online
from tutelage.training.rloo import train_rloo


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.rloo
    return train_online(context, open_actors(context, settings), settings, train_rloo)
