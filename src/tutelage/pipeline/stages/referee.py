"""referee: the judge that only evaluates, trained on comparisons that the reward model never saw."""

from __future__ import annotations

from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.reward import train_judge


def run(context: StageContext) -> dict[str, Any]:
    return train_judge(context, context.recipe.referee, "judge")
