"""dpo: the SFT policy learns from comparisons, with the reward model's loss on its own implicit rewards."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.direct import train_direct
from tutelage.training.dpo import train_dpo


def run(context: StageContext) -> dict[str, Any]:
    return train_direct(context, context.recipe.dpo, train_dpo)
