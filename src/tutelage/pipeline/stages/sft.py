"""sft: the base model learns from the demonstrations, some of them in its own words if the recipe says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.core.records import Demonstration
from tutelage.models.roles import Policy, open_base, save_policy
from tutelage.models.trunk import Trunk
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData, read_records, write_records
from tutelage.pipeline.stages.common import check_memory
from tutelage.sampling.local import LocalSampler
from tutelage.training.distillation import in_own_words
from tutelage.training.sft import train_sft


def run(context: StageContext) -> dict[str, Any]:
    recipe, settings = context.recipe, context.recipe.sft
    data = ImportedData.read(context.inputs["data"])
    check_memory(context)
    trunk = open_base(recipe.model, recipe.tokens, context.say)
    train = distilled(context, trunk, data.train) if settings.distillation.categories else data.train
    adapter = None
    if recipe.model.tune == "lora":
        adapter = "sft"
        trunk.add_adapter(adapter, recipe.model.lora, context.seed)
    metrics = train_sft(
        trunk,
        adapter,
        train,
        data.validation,
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    save_policy(Policy(trunk, adapter), context.folder / "model")
    return metrics


def distilled(
    context: StageContext, base: Trunk, demonstrations: Sequence[Demonstration]
) -> Sequence[Demonstration]:
    """The demonstrations that it learns from, made once and kept as `learnt.jsonl` beside the model."""
    path = context.folder / "learnt.jsonl"
    if path.exists():
        return read_records(path, Demonstration)
    settings, done = context.recipe.sft.distillation, 0
    asked = sum(d.prompt.category in settings.categories for d in demonstrations)
    asked = min(asked, settings.limit or asked)
    context.say(f"{asked} demonstrations are answered by the model itself, to learn from its own words")

    def progress(tokens: int, finished: int) -> None:
        nonlocal done
        done += finished
        context.recorder.progress(done, asked, tokens)

    learnt = in_own_words(
        demonstrations,
        settings,
        LocalSampler(base, None, settings.batch),
        base.contract,
        author=f"{context.recipe.model.base}, in its own words",
        seed=context.seed,
        on_progress=progress,
    )
    part = path.with_suffix(".part")
    write_records(part, learnt)
    part.replace(path)
    return learnt
