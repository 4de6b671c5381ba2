"""Twenty-five ways to hand Tutelage something broken, and what must come of each.

One sentence on standard error that begins with `error: ` and is the last that is said there, exit code 2,
no traceback, and every file that was there before still there, unchanged. A case breaks a copy of a small
project whose data and SFT stages are done. The claim runs every case as a process of its own; the tests
run the same cases in their process.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claims.workplace import TINY_RECIPE, tiny_project

RECIPE = "tutelage.yaml"
DATA = {"demonstrations": "demonstrations.jsonl", "comparisons": "rankings.jsonl", "prompts": "prompts.jsonl"}
_NOT_THE_USERS = (
    ".tutelage.lock",
    ".tutelage-cache.json",
    "tutelage.db",
    "tutelage.db-wal",
    "tutelage.db-shm",
)
NO_NETWORK = {
    "HF_HUB_OFFLINE": "0",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HTTP_PROXY": "",
    "HTTPS_PROXY": "",
    "HF_DATASETS_OFFLINE": "0",
}
"""The hub's address is one where nobody listens: the connection is refused at once."""


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


def rewrite(old: str, new: str, name: str = RECIPE) -> Callable[[Path], None]:
    """Replace text in a file of the project. Raises `ValueError` if it is not there."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{name} does not hold {old!r}")
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def overwrite(name: str, content: bytes) -> Callable[[Path], None]:
    """Put other bytes into a file of the project."""
    return lambda folder: (folder / name).write_bytes(content) and None


def rankings(ranking: Any) -> Callable[[Path], None]:
    """Give every row of the rankings this ranking."""

    def change(folder: Path) -> None:
        path = folder / DATA["comparisons"]
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text(
            "".join(json.dumps({**row, "ranking": ranking}) + "\n" for row in rows), encoding="utf-8"
        )

    return change


def missing(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut_gzip(folder: Path) -> None:
    whole = gzip.compress((folder / DATA["prompts"]).read_bytes())
    (folder / "prompts.jsonl.gz").write_bytes(whole[:-20])


def cut_weights(folder: Path) -> None:
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def weights_that_are_no_numbers(folder: Path) -> None:
    """What a training run that went wrong leaves: finite in form, NaN in content."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model" / "model.safetensors"
    tensors = load_file(path)
    save_file({k: torch.full_like(t, torch.nan) for k, t in tensors.items()}, path, metadata={"format": "pt"})


def other_bytes_in_artifact(folder: Path) -> None:
    """A finished artifact with a file of the right size and the wrong content."""
    for path in folder.glob("artifacts/data/*/demonstrations.jsonl"):
        path.write_bytes(b"x" * path.stat().st_size)


def planted(stage: str, name: str, content: bytes | None, *overrides: str) -> Callable[[Path], None]:
    """A stage that was stopped: its folder holds the file `name`, or a link to a full disk where `content` is None."""

    def plant(folder: Path) -> None:
        place = planned_folder(folder, stage, *overrides)
        place.mkdir(parents=True)
        if content is None:
            (place / "notes.txt").write_text("an earlier try was here")
            (place / name).symlink_to("/dev/full")  # every write there is answered with ENOSPC
        else:
            (place / name).write_bytes(content)

    return plant


def planned_folder(folder: Path, stage: str, *overrides: str) -> Path:
    """Where a stage's artifact will lie for the project's recipe with these overrides."""
    from tutelage.pipeline.graph import plan
    from tutelage.pipeline.project import Project
    from tutelage.pipeline.sources import find_sources
    from tutelage.store.artifacts import artifact_folder

    recipe = Project(folder).recipe(*overrides)
    planned = plan(recipe, find_sources(recipe.data, folder).hashes())
    return artifact_folder(folder, stage, planned[stage].id)


def lock_held(folder: Path) -> AbstractContextManager[None]:
    from tutelage.pipeline.lock import project_lock

    return project_lock(folder)


def run_in_process(case: Case, folder: Path) -> Said:
    """The command by `tutelage.cli.main` in this process, with the project as current folder."""
    import contextlib
    import io
    import sys
    from unittest import mock

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
    from benchmarks.claims.workplace import tutelage

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


AGAIN = "sft.epochs=2"
"""Asks for an SFT stage that is not done yet."""

CASES: tuple[Case, ...] = (
    # the recipe
    Case("broken YAML", ["run"], f"{RECIPE}:", rewrite("sft:\n", "sft: {\n")),
    Case("unknown setting", ["run"], "did you mean 'epochs'?", rewrite("epochs:", "epoch:")),
    Case("out of bounds", ["status", "sft.epochs=0"], "'sft.epochs'"),
    Case("recipe not UTF-8", ["run"], "cannot be read as text", overwrite(RECIPE, b"name: \xff\xfe\n")),
    Case("unknown stage", ["run", "--to", "polish"], "no stage 'polish'"),
    # data
    Case("data file missing", ["run"], "rows.jsonl", rewrite(DATA["prompts"], "rows.jsonl")),
    Case(
        "data not UTF-8",
        ["run"],
        "is not UTF-8",
        overwrite(DATA["demonstrations"], b'{"instruction": "\xe4"}\n'),
    ),
    Case("data not JSON", ["run"], "not valid JSON", overwrite(DATA["demonstrations"], b"hello\nworld\n")),
    Case("rankings empty", ["run", "--to", "reward"], "fewer than two", rankings([[0]])),
    Case("rankings tied only", ["run", "--to", "reward"], "has a preference", rankings([[0, 1, 2, 3]])),
    Case("gzip cut off", ["data", "check", "prompts.jsonl.gz"], "not a whole gzip file", cut_gzip),
    Case(
        "hub data, no network",
        ["run", "--to", "data"],
        "Anthropic/hh-rlhf",
        rewrite(DATA["comparisons"], "Anthropic/hh-rlhf"),
        variables=NO_NETWORK,
    ),
    Case(
        "evaluation set broken",
        ["run"],
        "eval_harmful.jsonl:1",
        overwrite("evaluation/eval_harmful.jsonl", b'{"id": "h1"}\n'),
    ),
    # the model
    Case("no model folder", ["sft", "model.base=./nowhere"], "no model folder ./nowhere"),
    Case("folder without model", ["sft", "model.base=./evaluation"], "holds no model"),
    Case("weights cut off", ["sft", AGAIN], "damaged", cut_weights),
    Case(
        "hub model, no network", ["sft", "model.base=nobody/nothing"], "nobody/nothing", variables=NO_NETWORK
    ),
    Case(
        "template of another model",
        ["sample"],
        "differ in the chat template",
        rewrite("<|im_start|>assistant", "<|im_start|>bot", "model/chat_template.jinja"),
    ),
    Case("loss not a number", ["sft", AGAIN], "not a finite number", weights_that_are_no_numbers),
    # the machine and the project
    Case(
        "disk full at a checkpoint",
        ["sft", AGAIN],
        "the disk is full",
        planted("sft", "checkpoint.pt.tmp", None, AGAIN),
    ),
    Case(
        "disk full in the data stage",
        ["run", "--to", "data", "data.validation_share=0.2"],
        "the disk is full",
        planted("data", "demonstrations.jsonl", None, "data.validation_share=0.2"),
    ),
    Case("more memory than there is", ["sft", "sft.optim.micro_batch_tokens=1000000000"], "GiB are free"),
    Case("another run at work", ["run"], "another run", around=lock_held),
    Case(
        "checkpoint damaged",
        ["sft", AGAIN],
        "is damaged",
        planted("sft", "checkpoint.pt", b"not a checkpoint", AGAIN),
    ),
    Case("artifact damaged", ["sft", AGAIN], "missing or damaged", other_bytes_in_artifact),
)


def copies(pattern: Path, target: Path) -> Iterator[tuple[Case, Path]]:
    """Every case with a fresh copy of the finished pattern project."""
    for number, case in enumerate(CASES):
        folder = target / f"{number:02d}"
        shutil.copytree(pattern, folder)
        yield case, folder
