"""What the stages that load models share: the memory check, and opening roles on one trunk."""

from __future__ import annotations

from tutelage.models.loading import pick_device, pick_dtype, resolve
from tutelage.models.memory import ModelSize, Stage, available, estimate, require_fits
from tutelage.models.roles import Policy, open_base, open_policy
from tutelage.pipeline.graph import StageContext


def check_memory(
    context: StageContext, stage: Stage, micro_batch_tokens: int, num_adapters: int, decode_batch: int = 0
) -> None:
    """Say what the stage will need against what is free; raise `ResourceError` if it cannot fit."""
    from transformers import AutoConfig

    model, tokens = context.recipe.model, context.recipe.tokens
    place = resolve(model.base, context.say)
    try:
        config = AutoConfig.from_pretrained(place, revision=model.revision)
    except (OSError, ValueError):
        return  # loading says it better
    device = pick_device(model.device)
    plan = estimate(
        stage,
        ModelSize.of(config),
        dtype=pick_dtype(model.dtype, device),
        lora_rank=model.lora.rank if model.tune == "lora" else None,
        num_adapters=num_adapters,
        micro_batch_tokens=micro_batch_tokens,
        longest=tokens.max_prompt + tokens.max_response,
        decode_batch=decode_batch,
        decode_tokens=tokens.max_response,
    )
    free = available(device)
    context.say(f"memory: about {plan.total / 2**30:.1f} GiB needed at the peak, {free / 2**30:.1f} GiB free")
    require_fits(plan, free)


def open_sft(context: StageContext, name: str = "sft") -> Policy:
    """The SFT stage's policy on a fresh trunk."""
    recipe = context.recipe
    folder = context.inputs["sft"] / "model"
    trunk = open_base(recipe.model, recipe.tokens, context.say) if recipe.model.tune == "lora" else None
    return open_policy(recipe.model, recipe.tokens, folder, name, trunk, context.say)
