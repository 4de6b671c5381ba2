"""sft: the base model learns from the demonstrations."""

from __future__ import annotations

from typing import Any

from tutelage.models.roles import Policy, open_base, save_policy
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.common import check_memory
from tutelage.training.sft import train_sft


def run(context: StageContext) -> dict[str, Any]:
    recipe, settings = context.recipe, context.recipe.sft
    data = ImportedData.read(context.inputs["data"])
    check_memory(context)
    trunk = open_base(recipe.model, recipe.tokens, context.say)
    adapter = None
    if recipe.model.tune == "lora":
        adapter = "sft"
        trunk.add_adapter(adapter, recipe.model.lora, context.seed)
    metrics = train_sft(
        trunk,
        adapter,
        data.train,
        data.validation,
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    save_policy(Policy(trunk, adapter), context.folder / "model")
    return metrics
