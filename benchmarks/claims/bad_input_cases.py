"""Twenty-five ways to hand Tutelage something broken.

What must come of each is said in `bad_input`. The claim runs every case as a process of its own; the
tests run the same cases in their process.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.claims.bad_input import DATA, RECIPE, Case

NO_NETWORK = {
    "HF_HUB_OFFLINE": "0",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HTTP_PROXY": "",
    "HTTPS_PROXY": "",
    "HF_DATASETS_OFFLINE": "0",
}
"""The hub's address is one where nobody listens: the connection is refused at once."""


AGAIN = "sft.epochs=2"
"""Asks for an SFT stage that is not done yet."""


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
