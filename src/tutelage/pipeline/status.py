"""What is done, what is stale, what comes next, and what it will cost. Reads manifests alone.

A stage is *done* if an artifact with the very id that the recipe asks for lies there whole; *stale* if
only others do; *started* if a run was stopped in the middle; *damaged* if its files are not what the
manifest says; *to do* otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tutelage.core.errors import RecipeError, StoreError
from tutelage.core.records import Artifact
from tutelage.pipeline import cost
from tutelage.pipeline.graph import Planned, Stage, plan
from tutelage.pipeline.lock import running
from tutelage.pipeline.said import closed_rounds, said_by_people
from tutelage.pipeline.sources import Sources, find_sources
from tutelage.pipeline.table import duration, text_table
from tutelage.store.artifacts import Finished, artifact_folder, finished_artifacts, read_artifact

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe

State = Literal["done", "stale", "started", "damaged", "to do"]


@dataclass(frozen=True)
class StageStatus:
    """One stage: its state, the id its artifact has or will have, and why it is not done."""

    stage: str
    summary: str
    state: State
    id: str
    seconds: float | None
    finished: str
    estimate: cost.Estimate | None
    reason: str
    metrics: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        estimate = self.estimate and {
            "seconds": round(self.estimate.seconds, 1),
            "basis": self.estimate.basis,
        }
        return {
            "stage": self.stage,
            "state": self.state,
            "id": self.id,
            "seconds": self.seconds,
            "finished": self.finished,
            "estimate": estimate,
            "reason": self.reason,
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True)
class Status:
    """A whole project. `running` is the process id of the run at work in it, if there is one."""

    project: Path
    stages: tuple[StageStatus, ...]
    running: int | None
    problems: tuple[str, ...]

    @property
    def next(self) -> StageStatus | None:
        """The first stage that is not done."""
        return next((s for s in self.stages if s.state != "done"), None)

    @property
    def seconds_left(self) -> float:
        """What all that is not done may take."""
        return sum(s.estimate.seconds for s in self.stages if s.estimate is not None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form: what `tutelage status --json` prints."""
        report = self.project / "report" / "index.html"
        return {
            "project": str(self.project),
            "running": self.running,
            "next": self.next.stage if self.next else None,
            "seconds_left": round(self.seconds_left, 1),
            "problems": list(self.problems),
            "report": str(report) if report.exists() else None,
            "stages": [stage.to_dict() for stage in self.stages],
        }

    def lines(self) -> list[str]:
        """The status for people."""
        rows = [[s.stage, s.state, s.id[:8], _time(s), s.reason or s.summary] for s in self.stages]
        text = [
            f"project {self.project}",
            "",
            *text_table(["stage", "state", "id", "time", ""], rows, right=[3]),
            "",
        ]
        if self.running is not None:
            text.append(f"running now: process {self.running}" if self.running else "running now")
        text += [f"problem: {problem}" for problem in self.problems]
        if self.next is None:
            text.append("everything is done")
        else:
            bases = sorted({s.estimate.basis for s in self.stages if s.estimate is not None})
            text.append(
                f"next: {self.next.stage}; to the end about {duration(self.seconds_left)} "
                f"(from {'; '.join(bases)})"
            )
        report = self.project / "report" / "index.html"
        if report.exists():
            text.append(f"report: {report}")
        return text


@dataclass(frozen=True)
class Inspected:
    """Where one planned artifact stands on the disk."""

    state: Literal["done", "started", "damaged", "absent"]
    finished: Finished | None = None
    problem: str = ""


def inspect_artifact(project: Path, planned: Planned, full: bool = False) -> Inspected:
    """Look at one artifact's folder; with `full` every file's hash is compared."""
    folder = artifact_folder(project, planned.stage.name, planned.id)
    try:
        finished = read_artifact(folder)
    except StoreError as problem:
        return Inspected("damaged", None, str(problem))
    if finished is None:
        held = folder.is_dir() and any(folder.iterdir())
        return Inspected("started" if held else "absent")
    problem = finished.problem(full)
    return Inspected("done", finished) if problem is None else Inspected("damaged", finished, problem)


def project_status(
    project: Path, recipe: Recipe, *, verify: bool = False, stages: Sequence[Stage] | None = None
) -> Status:
    """The status of every stage. With `verify`, contents are compared by hash, not by size."""
    sources = find_sources(recipe.data, project)
    people: dict[str, str] = {}
    rounds: dict[str, str] = {}
    problems = list(sources.problems)
    try:
        people, rounds = said_by_people(recipe, project), closed_rounds(recipe, project)
    except StoreError as problem:
        problems.append(str(problem))
    planned = plan(recipe, sources.hashes(), stages, people, rounds)
    others = {name: finished_artifacts(project, name) for name in planned}
    estimator = Estimator(recipe, sources, others)
    return Status(
        project=project,
        stages=tuple(
            _stage_status(project, p, others[name], estimator, verify) for name, p in planned.items()
        ),
        running=running(project),
        problems=tuple(problems),
    )


class Estimator:
    """Seconds for stages of one recipe, judged by the finished artifacts in `others` (by stage).

    Stages that ran with other model settings say nothing about this recipe's speed and are left out.
    """

    def __init__(self, recipe: Recipe, sources: Sources, others: Mapping[str, Sequence[Finished]]) -> None:
        self._recipe = recipe
        self._amounts = cost.amounts(recipe, sources)
        model = recipe.model.model_dump(mode="json")
        past = [f.artifact for found in others.values() for f in found]
        self._past = [self._as_past(a) for a in past if a.recipe.get("model", model) == model]

    def __call__(self, stage: str) -> cost.Estimate:
        return cost.estimate(stage, self._recipe, self._amounts, self._past)

    def _as_past(self, artifact: Artifact) -> cost.Past:
        from tutelage.core.recipe import parse_recipe

        try:
            then = parse_recipe({**self._recipe.model_dump(mode="json"), **artifact.recipe})
        except RecipeError:
            then = self._recipe
        return cost.Past(artifact.stage, artifact.seconds, cost.work(artifact.stage, then, self._amounts))


def _stage_status(
    project: Path, planned: Planned, others: Sequence[Finished], estimator: Estimator, verify: bool
) -> StageStatus:
    found = inspect_artifact(project, planned, verify)
    state: State
    reason = found.problem
    if found.state == "absent":
        state = "stale" if others else "to do"
        reason = f"changed: {what_changed(others[0], planned)}" if others else ""
    else:
        state = found.state
        reason = "was stopped; it goes on from there" if state == "started" else reason
    artifact = found.finished.artifact if found.finished is not None else None
    return StageStatus(
        stage=planned.stage.name,
        summary=planned.stage.summary,
        state=state,
        id=planned.id,
        seconds=artifact.seconds if artifact else None,
        finished=artifact.finished if artifact else "",
        estimate=None if state == "done" else estimator(planned.stage.name),
        reason=reason,
        metrics=artifact.metrics if artifact and state == "done" else {},
    )


def what_changed(before: Finished, planned: Planned) -> str:
    """In a few words why an artifact is not the one that is asked for now."""
    old, new = before.artifact, planned.artifact
    changes = [f"{name} {_short(a)} → {_short(b)}" for name, a, b in _differences(old.recipe, new.recipe)]
    if old.seed != new.seed:
        changes.append(f"seed {old.seed} → {new.seed}")
    if old.version != new.version:
        changes.append(f"tutelage {old.version} → {new.version}")
    names = sorted(set(old.inputs) | set(new.inputs))
    changes += [f"{name} is another" for name in names if old.inputs.get(name) != new.inputs.get(name)]
    more = f" and {len(changes) - 2} more" if len(changes) > 2 else ""
    return ", ".join(changes[:2]) + more


def _differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = dict.fromkeys([*old, *new])
        return [
            d for k in keys for d in _differences(old.get(k), new.get(k), f"{path}.{k}" if path else str(k))
        ]
    same = old == new or (
        isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and list(old) == list(new)
    )
    return [] if same else [(path, old, new)]


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."


def _time(status: StageStatus) -> str:
    if status.estimate is not None:
        return f"~ {duration(status.estimate.seconds)}"
    return duration(status.seconds or 0.0)
