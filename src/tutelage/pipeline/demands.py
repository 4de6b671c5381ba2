"""What each stage of a recipe asks of memory: the `Work` that `models.memory` plans. Nothing is loaded."""

from __future__ import annotations

from typing import Any

import torch

from tutelage.core.methods import METHODS
from tutelage.core.recipe import Recipe
from tutelage.models.inventory import Work


def work_of(stage: str, recipe: Recipe, dtype: torch.dtype, device: str) -> Work:
    """The work of one stage that loads a model, at the recipe's limits."""
    model, tokens = recipe.model, recipe.tokens
    common: dict[str, Any] = {
        "stage": stage,
        "group": METHODS[stage].group if stage in METHODS else stage,
        "dtype": dtype,
        "device": device,
        "full": model.tune == "full",
        "rank": model.lora.rank,
        "max_prompt": tokens.max_prompt,
        "max_response": tokens.max_response,
    }
    return Work(**common, **_own(stage, recipe))


def _own(stage: str, recipe: Recipe) -> dict[str, Any]:
    """What differs from stage to stage."""
    model = recipe.model
    layers = model.upper_layers if model.tune == "full" else model.lora.upper_layers
    ranked = recipe.sample.responses_per_prompt
    if stage == "sft":
        micro, own = recipe.sft.optim.micro_batch_tokens, recipe.sft.distillation
        found = {"micro_batch_tokens": micro, "keeps_best": True, "upper_layers": layers}
        return {**found, "decode_batch": own.batch} if own.categories else found
    if stage == "sample":
        return {"decode_batch": recipe.sample.batch}
    if stage in ("reward", "referee"):
        settings = getattr(recipe, stage)
        members = settings.ensemble.members
        return {
            "adapters": members + (settings.start == "sft"),
            "trained_adapters": members,
            "upper_layers": settings.upper_layers,
            "micro_batch_tokens": settings.optim.micro_batch_tokens,
            "sharing": ranked,
            "scores_tokens": False,
        }
    if stage == "evaluate":
        # Base and one policy at a time, and the referee; in adapter mode all policies and the referee.
        return {"decode_batch": recipe.evaluate.batch, "adapters": 2 + len(recipe.policies), "trunks": 3}
    if stage not in METHODS:
        return {"adapters": 0}
    settings = getattr(recipe, METHODS[stage].group)
    found = {"micro_batch_tokens": settings.optim.micro_batch_tokens, "upper_layers": layers}
    if METHODS[stage].kind == "direct":
        return {**found, "adapters": 2, "trunks": 2, "sharing": ranked}
    return {**found, "adapters": 3, "trunks": 3, "decode_batch": settings.rollouts}
