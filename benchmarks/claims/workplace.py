"""Where claims keep what they make, and the small projects that several rows run.

Everything lies in `TUTELAGE_CLAIMS_DIR`, or in `benchmarks/.work`, which git ignores.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.claims.runner import ROOT, environment

TINY_RECIPE: dict[str, Any] = {
    "name": "tiny",
    "seed": 5,
    "model": {"base": "./model", "dtype": "float32", "lora": {"rank": 4, "alpha": 8}},
    "tokens": {"max_prompt": 96, "max_response": 12},
    "data": {
        "demonstrations": [{"source": "pack:starter", "limit": 32}],
        "comparisons": [{"source": "pack:starter", "limit": 48}],
        "prompts": [{"source": "pack:starter", "limit": 32}],
        "evaluation": "pack:starter",
    },
    "sft": {"epochs": 1, "batch": 8, "evaluate_every": 2, "checkpoint_every": 1},
    "sample": {"num_prompts": 4, "responses_per_prompt": 4},
    "judge": {"measure_prompts": 2},
    "reward": {"epochs": 1, "batch": 8, "checkpoint_every": 1},
    "referee": {"epochs": 1, "batch": 8, "checkpoint_every": 1},
    "ppo": {"iterations": 4, "rollouts": 8, "minibatch": 4, "evaluate_every": 2, "held_out_prompts": 4},
    "evaluate": {"limit": 6, "batch": 32, "bootstrap": 200},
}
"""Every stage of the quickstart on a model of random weights: a few steps each, a checkpoint at every step."""


def workplace() -> Path:
    """The folder for what claims make; it is created."""
    folder = Path(os.environ.get("TUTELAGE_CLAIMS_DIR") or ROOT / "benchmarks" / ".work").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_HELD: dict[str, IO[str]] = {}


def held(name: str) -> Path:
    """A folder in the workplace with what earlier runs left there, this process's own until it ends.

    Raises `RuntimeError` if another process works there: two at once would each spoil the other's numbers.
    """
    if name not in _HELD:
        _HELD[name] = (workplace() / f".{name}.lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(_HELD[name], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _HELD.pop(name).close()
            raise RuntimeError(
                f"another run of the claims works in {workplace() / name}: wait for it"
            ) from None
    folder = workplace() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def emptied(name: str) -> Path:
    """A fresh, empty folder in the workplace, this process's own until it ends. Raises as `held`."""
    folder = held(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def data_file(name: str) -> Path:
    """A real data file below `TUTELAGE_DATA`. Raises `FileNotFoundError` that says what to set."""
    place = os.environ.get("TUTELAGE_DATA")
    if place is None or not (Path(place) / name).is_file():
        raise FileNotFoundError(f"set TUTELAGE_DATA to the folder that holds {name} (it is {place!r})")
    return Path(place) / name


def tiny_project(folder: Path, recipe: Mapping[str, Any] = TINY_RECIPE) -> Path:
    """A project with a tiny model in `model/`; commands must run with the project as current folder."""
    import yaml

    from tutelage.models.tiny import make_tiny
    from tutelage.pipeline.project import Project

    folder.mkdir(parents=True, exist_ok=True)
    source = folder.parent / f"{folder.name}.recipe.yaml"
    source.write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")
    Project.init(folder, str(source))
    source.unlink()
    make_tiny(folder / "model")
    return folder


def finished_tiny_project() -> Path:
    """A tiny project that has run to its end, made on first use and kept for later rows."""
    folder = workplace() / "tiny"
    if (folder / "done.json").exists() and _is_done(folder):
        return folder
    tiny_project(emptied("tiny"))
    done = tutelage(["run", "--plain"], folder)
    if done.returncode != 0:
        raise RuntimeError(
            f"the tiny project did not run to its end: {done.stderr.strip().splitlines()[-1:]}"
        )
    (folder / "done.json").write_text("{}", encoding="utf-8")
    return folder


def tutelage(
    arguments: Sequence[str], cwd: Path, timeout: float | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command `tutelage` in a folder with one thread, and capture what it says."""
    return subprocess.run(
        command(arguments),
        cwd=cwd,
        env=one_thread(variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def command(arguments: Sequence[str]) -> list[str]:
    """The command line of `tutelage` with this Python."""
    return [sys.executable, "-m", "tutelage", *arguments]


def one_thread(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a run without network and with one thread of computation."""
    return {**environment(), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(variables or {})}


def _is_done(folder: Path) -> bool:
    said = tutelage(["status", "--json"], folder)
    return said.returncode == 0 and json.loads(said.stdout)["next"] is None
