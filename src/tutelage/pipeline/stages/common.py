"""What the stages that load models share: the memory check, the comparisons, and opening roles on one trunk."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.core.errors import DataError
from tutelage.data.tokens import TokenContract
from tutelage.models.inventory import ModelSize
from tutelage.models.loading import pick_device, pick_dtype, resolve
from tutelage.models.memory import GIB, available, require_fits
from tutelage.models.roles import Policy, open_base, open_policy
from tutelage.pipeline.demands import work_of
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData, Resolved
from tutelage.training.ranked import RankedExample, ranked_examples


def check_memory(context: StageContext) -> None:
    """Say what the stage will need against what is free; raise `ResourceError` if it cannot fit."""
    from transformers import AutoConfig

    model = context.recipe.model
    place = resolve(model.base, context.say)
    try:
        config = AutoConfig.from_pretrained(place, revision=model.revision)
    except (OSError, ValueError):
        return  # loading says it better
    device = pick_device(model.device)
    work = work_of(context.stage, context.recipe, pick_dtype(model.dtype, device), device.type)
    free = available(device)
    plan = require_fits(work, ModelSize.of(config), free)
    context.say(
        f"memory: about {plan.total / GIB:.1f} GiB needed at the peak ({plan.peak}), {free / GIB:.1f} GiB free"
    )


@dataclass(frozen=True)
class Comparisons:
    """What the judge stage resolved, and the texts that it speaks of."""

    data: ImportedData
    resolved: Resolved

    @classmethod
    def of(cls, context: StageContext, split: str) -> Comparisons:
        """Read them, before anything is loaded. Raises `DataError` if none is in the split to train on."""
        found = cls(ImportedData.read(context.inputs["data"]), Resolved.read(context.inputs["judge"]))
        if not found.resolved.of_split(split)[1]:
            raise DataError(
                f"no comparison is in the split '{split}', so {context.stage} has nothing to train on: "
                "give more comparisons, or change data.referee_share and data.measure_share"
            )
        return found

    def examples(self, split: str, contract: TokenContract) -> list[RankedExample]:
        """Those of one split, as tokens."""
        prompts = self.data.prompts | self.resolved.prompts
        responses = self.data.responses | self.resolved.responses
        return ranked_examples(prompts, responses, *self.resolved.of_split(split), contract)


def open_sft(context: StageContext, name: str = "sft") -> Policy:
    """The SFT stage's policy on a fresh trunk."""
    recipe = context.recipe
    folder = context.inputs["sft"] / "model"
    trunk = open_base(recipe.model, recipe.tokens, context.say) if recipe.model.tune == "lora" else None
    return open_policy(recipe.model, recipe.tokens, folder, name, trunk, context.say)


def open_policy_and_reference(context: StageContext) -> tuple[Policy, Policy]:
    """A policy to train and the reference beside it, both as the SFT stage left them.

    In adapter mode they are two adapters on one trunk; in full mode two trunks, of which one learns.
    """
    reference = open_sft(context)
    if reference.adapter is not None:
        reference.trunk.copy_adapter(reference.adapter, "policy")
        return Policy(reference.trunk, "policy"), reference
    recipe = context.recipe
    reference.trunk.model.requires_grad_(False)
    return open_policy(recipe.model, recipe.tokens, context.inputs["sft"] / "model", "policy"), reference
