"""online-dpo: as dpo, on pairs of the policy's own responses, labelled by the reward model."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.online import open_actors, train_online
from tutelage.training.online_dpo import train_online_dpo


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.online_dpo
    return train_online(context, open_actors(context, settings), settings, train_online_dpo)
