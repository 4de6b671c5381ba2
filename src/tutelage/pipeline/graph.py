"""The stages of a project: what each needs, which settings decide it, and what it is handed.

Which stages there are is a function of the recipe: one for each method in its `policies`, and what they
need. A stage's function is `tutelage.pipeline.stages.NAME:run`, found only when it is run, so that planning
needs neither torch nor pydantic. `plan` names the artifact of every stage before anything runs: its id
is a hash of its inputs' ids, its groups of the recipe, the seed and the version.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__
from tutelage.core.errors import StoreError
from tutelage.core.hashing import content_id
from tutelage.core.methods import METHODS
from tutelage.core.records import Artifact

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.core.recorder import Recorder


@dataclass(frozen=True)
class StageContext:
    """What a stage is handed. `folder` may hold the checkpoint of an earlier try that was stopped.

    `inputs` and `input_ids` go by stage name. `seed` is the stage's own, made from the recipe's. `people` is what
    people had said when the run began, and `rounds` which rounds of blind evaluation were closed (`pipeline.said`).
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
    people: Mapping[str, str] = field(default_factory=dict[str, str])
    rounds: Mapping[str, str] = field(default_factory=dict[str, str])


StageFunction = Callable[[StageContext], dict[str, Any]]
"""Works in `context.folder` and returns the metrics for the manifest."""


@dataclass(frozen=True)
class Stage:
    """One stage. `groups` are the recipe's groups whose settings decide its id.

    `reads_sources`: the content of the recipe's data files decides it too; `reads_people`: what people said on
    the pages or in an import; `reads_rounds`: which rounds of blind evaluation are closed. `function` stands in for
    `pipeline.stages.NAME:run`.
    """

    name: str
    needs: tuple[str, ...]
    groups: tuple[str, ...]
    summary: str
    reads_sources: bool = False
    function: StageFunction | None = None
    reads_people: bool = False
    reads_rounds: bool = False

    def load(self) -> StageFunction:
        """The stage's function; imports what it needs, torch included."""
        if self.function is not None:
            return self.function
        return importlib.import_module(f"tutelage.pipeline.stages.{self.name.replace('-', '_')}").run


def stages_of(recipe: Recipe, also: str | None = None) -> tuple[Stage, ...]:
    """The stages of a recipe in their order: one for each of its policies, and what those need.

    A reward model is trained only where a policy learns from its scores. `also` is a stage that is
    wanted beyond that, such as a method that the recipe does not name: it is there, with what it needs,
    and evaluation and report are as if it were not.
    """
    extra = [METHODS[also]] if also in METHODS and also not in recipe.policies else []
    named = [METHODS[name] for name in recipe.policies]
    needed = {need for method in named for need in method.needs}
    wanted = needed | {need for method in extra for need in method.needs} | {also}
    reward = ("reward",) if "reward" in needed else ()
    models = ["base", "SFT", *(m.label for m in named)]
    # One policy needs no order; of several, the order says which is the last word.
    order = ("policies",) if len(named) > 1 else ()
    return (
        Stage("data", (), ("data",), "read, check and split the data", reads_sources=True),
        Stage("sft", ("data",), ("model", "tokens", "sft"), "supervised fine-tuning on demonstrations"),
        Stage("sample", ("data", "sft"), ("model", "tokens", "sample"), "several responses to each prompt"),
        Stage(
            "judge",
            ("data", "sample"),
            ("model", "tokens", "judge"),
            "judgements to rankings and comparisons",
            reads_people=True,
        ),
        *((_judge_stage("reward", "train the reward model"),) if "reward" in wanted else ()),
        _judge_stage("referee", "train the judge that only evaluates"),
        *(Stage(m.name, m.needs, ("model", "tokens", m.group), m.long_name) for m in (*named, *extra)),
        Stage(
            "evaluate",
            ("data", "sft", *recipe.policies, *reward, "referee"),
            ("model", "tokens", "evaluate", *order),
            f"measure {', '.join(models[:-1])} and {models[-1]}",
        ),
        Stage(
            "report",
            ("data", "sft", "sample", "judge", *reward, "referee", *recipe.policies, "evaluate"),
            ("report", *order),
            "one page with the evidence",
            reads_rounds=True,
        ),
    )


def _judge_stage(name: str, summary: str) -> Stage:
    """A reward model and the referee are made alike."""
    return Stage(name, ("data", "sft", "judge"), ("model", "tokens", name), summary)


@dataclass(frozen=True)
class Planned:
    """A stage with the identity its artifact will have: an `Artifact` that nothing has been made for yet."""

    stage: Stage
    artifact: Artifact

    @property
    def id(self) -> str:
        return self.artifact.id


def plan(
    recipe: Recipe,
    sources: Mapping[str, str],
    stages: Sequence[Stage] | None = None,
    people: Mapping[str, str] | None = None,
    rounds: Mapping[str, str] | None = None,
) -> dict[str, Planned]:
    """Every stage (the recipe's, for None) with its artifact's identity, by name, in order.

    `sources` are the hashes of the recipe's data files by name (`pipeline.sources`), `people` is what
    people said beside them, and `rounds` the closed rounds of blind evaluation (`pipeline.said`).
    """
    from tutelage.core.recipe import section

    planned: dict[str, Planned] = {}
    for stage in stages_of(recipe) if stages is None else stages:
        inputs = {need: planned[need].id for need in stage.needs}
        if stage.reads_sources:
            inputs.update(sources)
        if stage.reads_people and people:
            inputs["people"] = content_id("people", dict(people))
        if stage.reads_rounds and rounds:
            inputs["rounds"] = content_id("rounds", dict(rounds))
        settings = section(recipe, *stage.groups)
        planned[stage.name] = Planned(stage, Artifact(stage.name, inputs, settings, recipe.seed, __version__))
    return planned


def needed_for(target: str | None, stages: Sequence[Stage]) -> list[Stage]:
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


def require_stages(names: Iterable[str], stages: Sequence[Stage]) -> None:
    """Raise `StoreError` for the first name that is no stage."""
    known = [stage.name for stage in stages]
    for name in names:
        if name not in known:
            raise StoreError(f"there is no stage '{name}': the stages are {', '.join(known)}")


def stage_seed(seed: int, stage: str) -> int:
    """A stage's own seed, below 2**31, so that no two stages draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}".encode()).digest()[:4], "big") >> 1
