"""Running stages: in order, each at most once, going on where an earlier try was stopped.

A finished stage is not run again unless its id changed, its files are damaged, or it is forced. A stage
that was killed finds its folder as it left it. What a stage is, is told by `graph.py`; whether it is
done, by `status.py`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tutelage
from tutelage.core.errors import ResourceError
from tutelage.core.hashing import file_sha256
from tutelage.core.methods import METHODS
from tutelage.core.recorder import Recorder
from tutelage.pipeline.cost import disk_needed
from tutelage.pipeline.graph import (
    Planned,
    Stage,
    StageContext,
    needed_for,
    plan,
    require_stages,
    stage_seed,
    stages_of,
)
from tutelage.pipeline.lock import project_lock
from tutelage.pipeline.problems import explained
from tutelage.pipeline.reporters import Reporter, Silent, StageNews
from tutelage.pipeline.said import closed_rounds, said_by_people
from tutelage.pipeline.sources import find_sources
from tutelage.pipeline.status import Estimator, inspect_artifact
from tutelage.pipeline.table import amount
from tutelage.store.artifacts import (
    TRIES,
    Finished,
    artifact_folder,
    clear,
    finished_artifacts,
    seal,
    write_atomically,
)

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe


REPORT = "report"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Outcome:
    """What a run did: the artifact of every stage asked for, which ran now, and seconds in all."""

    artifacts: dict[str, Finished]
    ran: tuple[str, ...]
    seconds: float

    def summary(self) -> dict[str, Any]:
        """The evaluation's `summary.json` of this very run; empty if it was not asked for."""
        if "evaluate" not in self.artifacts:
            return {}
        try:
            return json.loads((self.artifacts["evaluate"].folder / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}


def run_stages(
    project: Path,
    recipe: Recipe,
    *,
    to: str | None = None,
    force: Sequence[str] = (),
    reporter: Reporter | None = None,
    stages: Sequence[Stage] | None = None,
) -> Outcome:
    """Run what `to` needs and is not done (everything, for None), and `force` in any case.

    `to` may be a method that the recipe does not name: it is trained, and a line says what to change to
    have it evaluated too. `stages` stand in for the recipe's own.
    Raises `TutelageError` with one sentence for what a user can put right: a lock held by another run,
    data that is missing, a full disk, no rights, no memory, and whatever a stage itself refuses.
    """
    hear: Reporter = reporter or Silent()
    stages = stages_of(recipe, also=to) if stages is None else stages
    wanted = needed_for(to, stages)
    require_stages(force, wanted)
    sources = find_sources(recipe.data, project)
    sources.require()
    if to in METHODS and to not in recipe.policies:
        hear.said(to, _left_out(to, recipe))
    began = time.monotonic()
    ran: list[str] = []
    artifacts: dict[str, Finished] = {}
    with explaining("preparing the run", project), project_lock(project, partial(hear.said, "run")):
        expected = Estimator(recipe, sources, {s.name: finished_artifacts(project, s.name) for s in stages})
        with _Index(project, recipe) as index:
            said = {"people": said_by_people(recipe, project), "rounds": closed_rounds(recipe, project)}
            planned = plan(recipe, sources.hashes(), stages, **said)
            for place, stage in enumerate(wanted, start=1):
                found = inspect_artifact(project, planned[stage.name])
                if found.state == "done" and found.finished is not None and stage.name not in force:
                    hear.kept(stage.name)
                    artifacts[stage.name] = found.finished
                    index.add(found.finished)
                    restore_report(project, found.finished)
                    continue
                if found.state == "damaged":
                    hear.said(stage.name, f"{found.problem}, so it is made again")
                resumed = found.state == "started" and stage.name not in force
                seconds = expected(stage.name).seconds
                hear.started(StageNews(stage.name, stage.summary, place, len(wanted), seconds, resumed))
                with explaining(f"running {stage.name}", project):
                    done = _run_one(project, recipe, planned[stage.name], artifacts, hear, resumed, said)
                artifacts[stage.name] = done
                ran.append(stage.name)
                hear.finished(stage.name, done.artifact.seconds, done.artifact.metrics)
                index.add(done)
    return Outcome(artifacts, tuple(ran), time.monotonic() - began)


def _left_out(method: str, recipe: Recipe) -> str:
    named = ", ".join([*recipe.policies, method])
    return (
        f"{method} is not among the recipe's policies, so it is trained and neither evaluated nor reported: "
        f"set policies: [{named}] to have it measured"
    )


def _run_one(
    project: Path,
    recipe: Recipe,
    planned: Planned,
    artifacts: Mapping[str, Finished],
    hear: Reporter,
    resumed: bool,
    said: Mapping[str, Mapping[str, str]],
) -> Finished:
    """Run one stage in its folder (emptied first unless `resumed`) and seal what it left."""
    stage = planned.stage
    _require_disk(project, recipe, stage.name)
    folder = artifact_folder(project, stage.name, planned.id)
    if not resumed:
        clear(folder)
    before = _begin_try(folder)
    began = time.monotonic()
    context = StageContext(
        project=project,
        recipe=recipe,
        stage=stage.name,
        folder=folder,
        inputs={need: artifacts[need].folder for need in stage.needs},
        input_ids={need: artifacts[need].id for need in stage.needs},
        artifact_id=planned.id,
        recorder=Recorder(stage.name, folder, [hear]),
        say=partial(hear.said, stage.name),
        seed=stage_seed(recipe.seed, stage.name),
        **said,
    )
    metrics = stage.load()(context)
    seconds = round(before + time.monotonic() - began, 3)
    return seal(folder, replace(planned.artifact, code=code_revision(), metrics=metrics, seconds=seconds))


class _Index:
    """The project's database, opened before hours are spent, so that a wrong address shows at once."""

    def __init__(self, project: Path, recipe: Recipe) -> None:
        from tutelage.store.database import Database
        from tutelage.store.records import Records

        self._database = Database.open(recipe.database, project)
        self._records = Records(self._database)

    def add(self, finished: Finished) -> None:
        from tutelage.pipeline.index import index_artifact

        index_artifact(self._records, finished)

    def __enter__(self) -> _Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()


@contextmanager
def explaining(doing: str, project: Path) -> Iterator[None]:
    """Faults of the machine inside the `with` block become one sentence; other exceptions pass."""
    try:
        yield
    except Exception as problem:
        known = explained(problem, doing, project)
        if known is None or known is problem:
            raise
        raise known from problem


def restore_report(project: Path, finished: Finished) -> None:
    """Put the page that an artifact keeps in `report/` back in place if another or none is there."""
    kept, shown = finished.folder / REPORT, project / REPORT
    names = [name for name in finished.artifact.files if name.startswith(f"{REPORT}/")]
    hashes = finished.artifact.files
    for name in names:
        path = project / name
        if not path.exists() or file_sha256(path) != hashes[name]:
            shutil.copytree(kept, shown, dirs_exist_ok=True)
            return


def _require_disk(project: Path, recipe: Recipe, stage: str) -> None:
    needed, free = disk_needed(stage, recipe), shutil.disk_usage(project).free
    if free < needed:
        raise ResourceError(
            f"{stage} may write {amount(needed)} and {amount(free)} are free on the disk of {project}: "
            "free some space and run again"
        )


def _begin_try(folder: Path) -> float:
    """Note when this try begins; returns the seconds that earlier, stopped tries worked in the folder.

    A killed try cannot say when it ended: the last change in its folder stands for it.
    """
    note = folder / TRIES
    before = 0.0
    try:
        earlier = json.loads(note.read_text(encoding="utf-8"))
        last = max(p.stat().st_mtime for p in folder.rglob("*"))
        before = float(earlier["before"]) + max(0.0, last - float(earlier["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    write_atomically(note, {"before": before, "started": time.time()})
    return before


def code_revision() -> str:
    """`git describe` where the package lies in a git checkout of its own, else the version."""
    root = Path(tutelage.__file__).resolve().parents[2]
    if (root / ".git").exists() and (root / "src" / "tutelage").is_dir():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return tutelage.__version__
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return tutelage.__version__
