"""The stages of a project: what each needs, which settings decide it, and what it is handed.

A stage's function is `tutelage.pipeline.stages.NAME:run`, found only when it is run, so that planning
needs neither torch nor pydantic. `plan` names the artifact of every stage before anything runs: its id
is a hash of its inputs' ids, its groups of the recipe, the seed and the version.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__
from tutelage.core.errors import StoreError
from tutelage.core.records import Artifact

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.core.recorder import Recorder


@dataclass(frozen=True)
class StageContext:
    """What a stage is handed. `folder` may hold the checkpoint of an earlier try that was stopped.

    `inputs` and `input_ids` go by stage name. `seed` is the stage's own, made from the recipe's.
    """

    project: Path
    recipe: Recipe
    stage: str
    folder: Path
    inputs: Mapping[str, Path]
    input_ids: Mapping[str, str]
    artifact_id: str
    recorder: Recorder
    say: Callable[[str], None]
    seed: int


StageFunction = Callable[[StageContext], dict[str, Any]]
"""Works in `context.folder` and returns the metrics for the manifest."""


@dataclass(frozen=True)
class Stage:
    """One stage. `groups` are the recipe's groups whose settings decide its id.

    `reads_sources`: the content of the recipe's data files decides it too. `function` stands in for
    `pipeline.stages.NAME:run`.
    """

    name: str
    needs: tuple[str, ...]
    groups: tuple[str, ...]
    summary: str
    reads_sources: bool = False
    function: StageFunction | None = None

    def load(self) -> StageFunction:
        """The stage's function; imports what it needs, torch included."""
        if self.function is not None:
            return self.function
        return importlib.import_module(f"tutelage.pipeline.stages.{self.name}").run


STAGES: tuple[Stage, ...] = (
    Stage("data", (), ("data",), "read, check and split the data", reads_sources=True),
    Stage("sft", ("data",), ("model", "tokens", "sft"), "supervised fine-tuning on demonstrations"),
    Stage("sample", ("data", "sft"), ("model", "tokens", "sample"), "several responses to each prompt"),
    Stage(
        "judge", ("data", "sample"), ("model", "tokens", "judge"), "judgements to rankings and comparisons"
    ),
    Stage("reward", ("data", "sft", "judge"), ("model", "tokens", "reward"), "train the reward model"),
    Stage(
        "referee",
        ("data", "sft", "judge"),
        ("model", "tokens", "referee"),
        "train the judge that only evaluates",
    ),
    Stage("ppo", ("data", "sft", "reward"), ("model", "tokens", "ppo"), "proximal policy optimisation"),
    Stage(
        "evaluate",
        ("data", "sft", "ppo", "reward", "referee"),
        ("model", "tokens", "evaluate"),
        "measure base, SFT and PPO",
    ),
    Stage(
        "report",
        ("data", "sft", "sample", "judge", "reward", "referee", "ppo", "evaluate"),
        ("report",),
        "one page with the evidence",
    ),
)


@dataclass(frozen=True)
class Planned:
    """A stage with the identity its artifact will have: an `Artifact` that nothing has been made for yet."""

    stage: Stage
    artifact: Artifact

    @property
    def id(self) -> str:
        return self.artifact.id


def plan(recipe: Recipe, sources: Mapping[str, str], stages: Sequence[Stage] = STAGES) -> dict[str, Planned]:
    """Every stage with its artifact's identity, by name, in order.

    `sources` are the hashes of the recipe's data files by name (`pipeline.sources`).
    """
    from tutelage.core.recipe import section

    planned: dict[str, Planned] = {}
    for stage in stages:
        inputs = {need: planned[need].id for need in stage.needs}
        if stage.reads_sources:
            inputs.update(sources)
        settings = section(recipe, *stage.groups)
        planned[stage.name] = Planned(stage, Artifact(stage.name, inputs, settings, recipe.seed, __version__))
    return planned


def needed_for(target: str | None, stages: Sequence[Stage] = STAGES) -> list[Stage]:
    """The stages that `target` rests on and itself, in order; all of them for None.

    Raises `StoreError` if there is no such stage.
    """
    if target is None:
        return list(stages)
    by_name = {stage.name: stage for stage in stages}
    require_stages([target], stages)
    wanted: set[str] = set()
    front = [target]
    while front:
        name = front.pop()
        if name not in wanted:
            wanted.add(name)
            front.extend(by_name[name].needs)
    return [stage for stage in stages if stage.name in wanted]


def require_stages(names: Iterable[str], stages: Sequence[Stage] = STAGES) -> None:
    """Raise `StoreError` for the first name that is no stage."""
    known = [stage.name for stage in stages]
    for name in names:
        if name not in known:
            raise StoreError(f"there is no stage '{name}': the stages are {', '.join(known)}")


def stage_seed(seed: int, stage: str) -> int:
    """A stage's own seed, below 2**31, so that no two stages draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}".encode()).digest()[:4], "big") >> 1
