"""What must come of broken input, and how it is tried: a case, a project to break, and the verdict.

One sentence on standard error that begins with `error: ` and is the last that is said there, exit code 2,
no traceback, and every file that was there before still there, unchanged. A case breaks a copy of a small
project whose data and SFT stages are done.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.claims.workplace import TINY_RECIPE, tiny_project, tutelage

RECIPE = "tutelage.yaml"
DATA = {"demonstrations": "demonstrations.jsonl", "comparisons": "rankings.jsonl", "prompts": "prompts.jsonl"}
_NOT_THE_USERS = (
    ".tutelage.lock",
    ".tutelage-cache.json",
    "tutelage.db",
    "tutelage.db-wal",
    "tutelage.db-shm",
)


@dataclass(frozen=True)
class Case:
    """`breakage` is done to the project, then `tutelage *arguments` runs in it; `said` is in its sentence.

    `around` is held while the command runs. `variables` are set for it where it is a process of its own.
    """

    name: str
    arguments: Sequence[str]
    said: str
    breakage: Callable[[Path], None] = lambda _: None
    around: Callable[[Path], AbstractContextManager[Any]] = lambda _: nullcontext()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What a command left behind: its exit code and what it wrote."""

    code: int | None
    stdout: str
    stderr: str


def pattern_project(folder: Path) -> Path:
    """A small project with data files of its own; `tutelage sft` has still to be run in it."""
    from tutelage.data.packs import FILES, pack_folder

    sources = {kind: [{"source": name}] for kind, name in DATA.items()}
    recipe = {**TINY_RECIPE, "data": {**sources, "evaluation": "evaluation"}}
    tiny_project(folder, recipe)
    pack = pack_folder("pack:starter")
    for kind, name in DATA.items():
        lines = (pack / FILES[kind]).read_text(encoding="utf-8").splitlines()
        (folder / name).write_text("\n".join(lines[:16]) + "\n", encoding="utf-8")
    shutil.copytree(
        pack, folder / "evaluation", ignore=lambda _, names: [n for n in names if n[:5] != "eval_"]
    )
    return folder


def verdict(case: Case, folder: Path, run: Callable[[Case, Path], Said]) -> str | None:
    """Break the project in `folder`, run the command by `run`, and say what is wrong with what came of it, or None."""
    case.breakage(folder)
    before = snapshot(folder)
    with case.around(folder):
        said = run(case, folder)
    lost = [name for name, digest in before.items() if snapshot(folder).get(name) != digest]
    errors = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    if said.code != 2:
        return f"exit code {said.code}"
    if "Traceback" in said.stderr + said.stdout:
        return "a traceback"
    if len(errors) != 1 or said.stderr.strip().splitlines()[-1] != errors[0]:
        return f"{len(errors)} sentences of error, or more after it"
    if case.said not in errors[0]:
        return f"does not say '{case.said}': {errors[0]}"
    return f"changed {', '.join(lost)}" if lost else None


def snapshot(folder: Path) -> dict[str, str]:
    """Hashes of the user's files and of finished artifacts; not of the pipeline's own notes."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if (
            path.is_symlink()
            or not path.is_file()
            or path.name.startswith(".")
            or str(name) in _NOT_THE_USERS
        ):
            continue
        found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def run_in_process(case: Case, folder: Path) -> Said:
    """The command by `tutelage.cli.main` in this process, with the project as current folder."""
    from tutelage.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: int | None = 0
    with in_folder(folder), mock.patch.object(sys, "argv", ["tutelage", *case.arguments]):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) or ended.code is None else 1
    return Said(code, out.getvalue(), err.getvalue())


def run_as_process(case: Case, folder: Path) -> Said:
    """The command as a user runs it."""
    done = tutelage(case.arguments, folder, timeout=300, **case.variables)
    return Said(done.returncode, done.stdout, done.stderr)


class in_folder(AbstractContextManager["in_folder"]):
    """The current folder inside the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.before = folder, Path.cwd()

    def __enter__(self) -> in_folder:
        os.chdir(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        os.chdir(self.before)
