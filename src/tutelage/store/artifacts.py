"""Artifacts: what a finished stage left in `artifacts/STAGE/ID/`, sealed by a `manifest.json`.

The manifest is written last and atomically, so a folder with one is finished and a folder without one is
a stage that was stopped. Read and checked without a database.
Left out on purpose: what a stage puts into its folder, and when a stage has to run (that is `pipeline`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage.core.errors import StoreError, TutelageError
from tutelage.core.files import replace_text, sync
from tutelage.core.hashing import file_sha256
from tutelage.core.records import Artifact

MANIFEST = "manifest.json"
FOLDER = "artifacts"
TRIES = ".tries.json"
TRANSIENT = ("checkpoint.pt", TRIES)
"""Checkpoint of a stage that trains, and the pipeline's own note of when tries began."""


@dataclass(frozen=True)
class Finished:
    """A sealed artifact: its record, its folder, and the size in bytes of each file when it was sealed."""

    artifact: Artifact
    folder: Path
    sizes: Mapping[str, int]

    @property
    def id(self) -> str:
        return self.folder.name

    def problem(self, full: bool = False) -> str | None:
        """What is wrong with the files, or None. Compares sizes; with `full`, contents by SHA-256."""
        if self.artifact.id != self.id:
            return f"its manifest was changed: it describes {self.artifact.id}"
        for name, size in self.sizes.items():
            path = self.folder / name
            try:
                found = path.stat().st_size
            except OSError:
                return f"the file {name} is missing"
            if found != size:
                return f"the file {name} has {found} bytes instead of {size}"
            if full and file_sha256(path) != self.artifact.files[name]:
                return f"the content of {name} was changed"
        return None


def artifact_folder(project: Path, stage: str, artifact_id: str) -> Path:
    """Where an artifact lies, whether or not it is there yet."""
    return project / FOLDER / stage / artifact_id


def seal(folder: Path, artifact: Artifact) -> Finished:
    """Hash every file in `folder`, make it all durable, and write the manifest as the last act.

    What only serves to go on after a kill (`TRANSIENT`) is no part of the artifact and is removed after
    that, so that a kill on the way costs no work. `artifact` comes without `files` and `finished`.
    Raises `StoreError` if its id is not the folder's name.
    """
    if artifact.id != folder.name:
        raise StoreError(
            f"the folder {folder} is not the one of the artifact {artifact.id}: run the stage again"
        )
    names = [name for name in _files(folder) if name not in (MANIFEST, *TRANSIENT)]
    for name in names:
        sync(folder / name)
    whole = dataclasses.replace(
        artifact,
        metrics=plain(artifact.metrics),
        files={name: file_sha256(folder / name) for name in names},
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    sizes = {name: (folder / name).stat().st_size for name in names}
    write_atomically(folder / MANIFEST, {"id": whole.id, **whole.to_dict(), "sizes": sizes})
    for name in TRANSIENT:
        (folder / name).unlink(missing_ok=True)
    return Finished(whole, folder, sizes)


def read_artifact(folder: Path) -> Finished | None:
    """The artifact in `folder`; None where there is no manifest. Raises `StoreError` if it cannot be read."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        sizes = {str(k): int(v) for k, v in values.pop("sizes").items()}
        artifact = Artifact.from_dict(values)
        if set(sizes) != set(artifact.files):
            raise ValueError("files and sizes differ")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, TutelageError) as problem:
        raise StoreError(
            f"the manifest {path} is damaged ({_reason(problem)}): run its stage again"
        ) from None
    return Finished(artifact, folder, sizes)


def finished_artifacts(project: Path, stage: str) -> list[Finished]:
    """All readable artifacts of a stage, the newest first."""
    found: list[Finished] = []
    for folder in sorted((project / FOLDER / stage).glob("*/")):
        try:
            artifact = read_artifact(folder)
        except StoreError:
            continue
        if artifact is not None:
            found.append(artifact)
    return sorted(found, key=lambda f: f.artifact.finished, reverse=True)


def find_artifact(project: Path, artifact_id: str) -> Finished:
    """The artifact with this id (or the only one whose id starts so). Raises `StoreError`."""
    matches = sorted((project / FOLDER).glob(f"*/{artifact_id}*/")) if artifact_id.isalnum() else []
    if len(matches) > 1:
        raise StoreError(f"several artifacts start with '{artifact_id}': give more of the id")
    artifact = read_artifact(matches[0]) if matches else None
    if artifact is None:
        raise StoreError(f"this project has no finished artifact '{artifact_id}': see `tutelage status`")
    return artifact


def clear(folder: Path) -> None:
    """Empty a stage's folder, the manifest first: a kill half-way leaves nothing that looks finished."""
    (folder / MANIFEST).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def write_atomically(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON so that a reader, or a machine that lost power, sees the old file or the new one."""
    replace_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Metrics as JSON takes them: numbers of numpy and torch become Python's, those not finite None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return plain(value.item())
    raise TypeError(f"a metric of type {type(value).__name__} cannot be written: make it a number or text")


def _files(folder: Path) -> list[str]:
    """Files below `folder` as relative names; hidden ones are notes of the pipeline itself."""
    relative = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(p.as_posix() for p in relative if not p.name.startswith("."))


def _reason(problem: BaseException) -> str:
    lines = str(problem).splitlines()
    return lines[0][:120] if lines else type(problem).__name__
