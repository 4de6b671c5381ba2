"""What a stage will cost, in seconds and disk, before it runs: rough, and it says where the number is from.

Work is counted in tokens through the model (a token trained on counts 2.5, one decoded 2).
It becomes seconds by an earlier run of the same stage here, else by the speed of the other stages here,
else by a default speed of this kind of machine. Nothing is loaded and nothing is measured for it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.core.methods import METHODS
from tutelage.pipeline.sources import SourceFile, Sources

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.core.settings import Source

TRAINED, DECODED = 2.5, 2.0
FLOPS_CPU_CORE, FLOPS_CPU_CORE_BF16, FLOPS_GPU = 4e10, 2.4e11, 1.5e14
"""Default speeds in operations a second: about half of what a current core, one with bf16 instructions, and
an A100 in bf16 do at best."""
CHARACTERS_A_TOKEN = 4.0
HUB_ROWS = 20_000
"""Rows taken for a hub data set without a limit."""
PAIRS_A_PROMPT, JUDGED_SIDES = 6, 2
FIXED_SECONDS = {"data": 4.0, "report": 5.0}
LOAD_SECONDS = 5.0
EMBEDDED_PARAMETERS = 134_515_008
UNKNOWN_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Estimate:
    """Seconds that a stage may take, and in words where the number is from."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class Past:
    """A finished stage of this project: how long it took and how much work it was."""

    stage: str
    seconds: float
    work: float


@dataclass(frozen=True)
class Amounts:
    """How much data there is: rows and mean tokens a row, by group of the recipe's data settings."""

    rows: Mapping[str, int]
    tokens: Mapping[str, float]


def amounts(recipe: Recipe, sources: Sources) -> Amounts:
    """Counted in the data files; guessed for hub data sets (their limit, and half-full responses)."""
    rows: dict[str, int] = {}
    tokens: dict[str, float] = {}
    most = recipe.tokens.max_prompt + recipe.tokens.max_response
    for group in ("demonstrations", "comparisons", "prompts"):
        files = sources.files.get(group, {})
        rows[group] = sum(_rows(source, files) for source in getattr(recipe.data, group))
        lines = sum(f.rows for f in files.values())
        size = sum(f.size for f in files.values() if f.rows)
        tokens[group] = min(size / lines / CHARACTERS_A_TOKEN if lines else most / 2, most)
    rows["evaluation"] = sum(f.rows for f in sources.files.get("evaluation", {}).values())
    return Amounts(rows, tokens)


def _rows(source: Source, files: Mapping[str, SourceFile]) -> int:
    own = [
        f.rows for name, f in files.items() if name == source.source or name.startswith(f"{source.source}/")
    ]
    counted = sum(own) or HUB_ROWS
    return counted if source.limit is None else min(counted, source.limit)


def work(stage: str, recipe: Recipe, data: Amounts) -> float:
    """Tokens through the model, weighted as the module says; 0 for stages that load none."""
    response = min(recipe.tokens.max_response, 128) * 0.75
    prompt = min(recipe.tokens.max_prompt, data.tokens["prompts"] + 30)
    both = prompt + response
    sampled = recipe.sample.num_prompts * recipe.sample.responses_per_prompt
    if stage == "sft":
        rows, own = data.rows["demonstrations"], recipe.sft.distillation
        # How many are of the categories is known once the data are read: taken to be two thirds.
        answered = min(rows * 2 // 3, own.limit or rows) if own.categories else 0
        left = rows - (rows * 2 // 3 - answered) if own.categories else rows
        learnt = recipe.sft.epochs * left * data.tokens["demonstrations"] * TRAINED
        return learnt + answered * (response * DECODED + prompt)
    if stage == "sample":
        return sampled * (response * DECODED + prompt)
    if stage == "judge":
        prompts = recipe.judge.measure_prompts + recipe.sample.num_prompts
        return prompts * PAIRS_A_PROMPT * JUDGED_SIDES * (prompt + 2 * response) if recipe.judge.ai else 0.0
    ranked = data.rows["comparisons"] * 4 * both
    learnt = 1 - recipe.data.referee_share - recipe.data.measure_share
    if stage in ("reward", "referee"):
        settings = getattr(recipe, stage)
        share = recipe.data.referee_share if stage == "referee" else learnt
        # Below the lowest adapted layer there is no backward pass.
        trained = TRAINED if settings.upper_layers is None else 1 + (TRAINED - 1) / 2
        return settings.epochs * share * ranked * trained
    if stage in METHODS and METHODS[stage].kind == "online":
        settings = recipe.online(stage)
        seen = settings.rollouts * (response * DECODED + both * 3)
        return settings.iterations * (seen + settings.learnt * settings.epochs * both * TRAINED)
    if stage in METHODS:
        # Beside the training, the reference looks at all responses once (KTO's twice).
        return (getattr(recipe, METHODS[stage].group).epochs * TRAINED + 1.5) * learnt * ranked
    if stage == "evaluate":
        items = data.rows["evaluation"]
        if recipe.evaluate.limit is not None:
            items = min(items, 5 * recipe.evaluate.limit)
        return (2 + len(recipe.policies)) * items * (response * DECODED + 2 * both)
    return 0.0


def estimate(stage: str, recipe: Recipe, data: Amounts, past: list[Past]) -> Estimate:
    """Seconds for one stage; `past` are this project's finished stages, the newest first."""
    amount = work(stage, recipe, data)
    same = next((p for p in past if p.stage == stage), None)
    if same is not None:
        grown = amount / same.work if same.work > 0 and amount > 0 else 1.0
        return Estimate(same.seconds * grown, "an earlier run here")
    if stage in FIXED_SECONDS or amount == 0:
        return Estimate(FIXED_SECONDS.get(stage, LOAD_SECONDS), "a default")
    measured = [p for p in past if p.work > 0 and p.seconds > LOAD_SECONDS]
    if measured:
        rate = sum(p.work for p in measured) / sum(p.seconds for p in measured)
        return Estimate(LOAD_SECONDS + amount / rate, "the speed of the stages run here")
    return Estimate(
        LOAD_SECONDS + amount * 2 * parameters(recipe) / default_flops(recipe), "a default speed, rough"
    )


def default_flops(recipe: Recipe) -> float:
    """Operations a second of this kind of machine, without asking torch."""
    gpu = recipe.model.device == "cuda" or (recipe.model.device == "auto" and Path("/dev/nvidia0").exists())
    if gpu:
        return FLOPS_GPU
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quick = recipe.model.dtype != "float32" and _has_bf16()
    return cores * (FLOPS_CPU_CORE_BF16 if quick else FLOPS_CPU_CORE)


def parameters(recipe: Recipe) -> int:
    """Parameters of the base model: known, from the folder's weights, or from a name such as `Qwen3-7B`."""
    base = recipe.model.base
    if base == "embedded":
        return EMBEDDED_PARAMETERS
    folder = Path(base).expanduser()
    if folder.is_dir():
        size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
        return max(1, size // _item_bytes(folder))
    named = re.findall(r"(\d+(?:\.\d+)?)([bm])(?![a-z])", base.lower())
    if named:
        number, unit = named[-1]
        return int(float(number) * (1e9 if unit == "b" else 1e6))
    return UNKNOWN_PARAMETERS


def disk_needed(stage: str, recipe: Recipe) -> int:
    """Bytes that a stage may write at its peak: a checkpoint, the one it replaces, and the result."""
    trains = 2 if stage in METHODS else int(stage in ("sft", "reward", "referee"))
    small = 50_000_000
    if not trains:
        return small
    model = parameters(recipe)
    if recipe.model.tune == "full":
        return small + trains * model * 28
    # A model has about 12 width^2 parameters a layer and some 30 layers; an adapter of rank r on every
    # linear layer has a share of about 2 r / width of them.
    width = (model / 360) ** 0.5
    share = min(1.0, 2 * recipe.model.lora.rank / width)
    return small + int(trains * model * share * 28)


def _has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _item_bytes(folder: Path) -> int:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 2
    return 4 if "32" in str(config.get("dtype") or config.get("torch_dtype") or "") else 2
