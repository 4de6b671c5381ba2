"""kto: the SFT policy learns from what won and what lost, each response by itself."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.direct import train_direct
from tutelage.training.kto import train_kto


def run(context: StageContext) -> dict[str, Any]:
    return train_direct(context, context.recipe.kto, train_kto)
