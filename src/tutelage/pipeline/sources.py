"""The recipe's data files and what is in them: names, hashes, sizes and rows, remembered between calls.

Names are as the recipe writes them, so a project that is moved keeps its artifacts. A hub data set has
no file here; its name in the recipe is what counts.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.core.errors import DataError
from tutelage.core.files import replace_text
from tutelage.core.hashing import file_sha256
from tutelage.data.packs import FILES, PREFIX, pack_folder
from tutelage.data.rows import SUFFIXES

if TYPE_CHECKING:
    from tutelage.core.settings import DataSettings

CACHE = ".tutelage-cache.json"


@dataclass(frozen=True)
class SourceFile:
    """A data file: its content's hash, bytes, and lines (an estimate of its rows, for text files)."""

    sha256: str
    size: int
    rows: int


@dataclass(frozen=True)
class Sources:
    """The files of a recipe by group (demonstrations, comparisons, prompts, evaluation) and name.

    `problems` are sentences about sources that are not there.
    """

    files: dict[str, dict[str, SourceFile]]
    problems: tuple[str, ...]

    def hashes(self) -> dict[str, str]:
        """What goes into the id of the data stage."""
        return {name: file.sha256 for group in self.files.values() for name, file in group.items()}

    def require(self) -> None:
        """Raise `DataError` with the first problem, if there is one."""
        if self.problems:
            raise DataError(self.problems[0])


def find_sources(data: DataSettings, project: Path, remember: bool = True) -> Sources:
    """Look up and hash the data files of a recipe. Nothing is raised: what is missing is a problem.

    `remember`: keep the hashes in the project's cache, so that the next look is instant.
    """
    cache = _Cache(project / CACHE)
    files: dict[str, dict[str, SourceFile]] = {}
    problems: list[str] = []
    groups = {name: [s.source for s in getattr(data, name)] for name in FILES} | {
        "evaluation": [data.evaluation]
    }
    for group, sources in groups.items():
        found: dict[str, SourceFile] = {}
        for source in sources:
            try:
                for name, path in _paths(source, group, project):
                    found[name] = cache.look(path)
            except (DataError, OSError) as problem:
                problems.append(f"data.{group}: {problem}")
        files[group] = found
    if remember:
        cache.save()
    return Sources(files, tuple(problems))


def _paths(source: str, group: str, project: Path) -> Iterable[tuple[str, Path]]:
    """Names and paths of a source's files; none for a hub data set."""
    if source.startswith(PREFIX):
        folder = pack_folder(source)
        pattern = "eval_*.jsonl" if group == "evaluation" else FILES[group]
        return [(f"{source}/{path.name}", path) for path in sorted(folder.glob(pattern))]
    path = project / Path(source).expanduser()
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))
        return [(f"{source}/{p.relative_to(path).as_posix()}", p) for p in inside]
    if path.exists():
        return [(source, path)]
    if group == "evaluation" or source.startswith((".", "/", "~")) or source.lower().endswith(SUFFIXES):
        raise DataError(f"there is no file or folder {source} in {project}: check the recipe")
    return []


class _Cache:
    """Hashes by path, good as long as size and time of change stay the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = False
        try:
            self.known = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(self.known, dict):
                self.known = {}
        except (OSError, ValueError):
            self.known = {}

    def look(self, path: Path) -> SourceFile:
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        entry = self.known.get(str(path.resolve()))
        if isinstance(entry, dict) and entry.get("stamp") == stamp:
            return SourceFile(entry["sha256"], entry["size"], entry["rows"])
        file = SourceFile(file_sha256(path), stat.st_size, _count_lines(path))
        self.known[str(path.resolve())] = {"stamp": stamp, **asdict(file)}
        self.changed = True
        return file

    def save(self) -> None:
        if not self.changed:
            return
        # Where it cannot be written only speed is lost: such a project can still be looked at.
        with contextlib.suppress(OSError):
            replace_text(self.path, json.dumps(self.known, indent=1))


def _count_lines(path: Path) -> int:
    if path.suffix not in (".jsonl", ".ndjson", ".csv"):
        return 0
    with path.open("rb") as stream:
        return sum(piece.count(b"\n") for piece in iter(lambda: stream.read(1 << 20), b""))
