"""`kill -9` at random moments of a full run, then `tutelage run`: the same bits, and nothing done twice.

Every stage runs, on a tiny model. One run is left alone; the others are each killed once and then told to go
on. The moments are random, one in each tenth of the time that the undisturbed run took, so that they spread
over all of it. A killed run agrees if every
safetensors file of every stage is the undisturbed run's to the byte, and if each stage that had finished
before the kill still has the manifest it had.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims.claim import Bound, Claim, Measurement
from benchmarks.claims.workplace import TINY_RECIPE, command, emptied, one_thread, tiny_project, tutelage

KILLS = 10
SEED = 17
RECIPE = {
    **TINY_RECIPE,
    "sft": {**TINY_RECIPE["sft"], "epochs": 6},
    "sample": {**TINY_RECIPE["sample"], "num_prompts": 16},
    "reward": {**TINY_RECIPE["reward"], "epochs": 20},
    "referee": {**TINY_RECIPE["referee"], "epochs": 20},
    "ppo": {**TINY_RECIPE["ppo"], "iterations": 40},
    "evaluate": {**TINY_RECIPE["evaluate"], "limit": 24},
}
"""More steps than elsewhere: a kill should fall into a stage's work, not only into the loading of libraries."""
CLAIMS = (
    Claim(
        "bit_identical",
        f"killed with -9 at {KILLS} random moments of a full run and told to go on: weights bit-identical to an "
        "undisturbed run, no finished stage repeated",
        "runs",
        (Bound("=", KILLS),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement]]:
    place = emptied("resume")
    pattern = tiny_project(place / "pattern", RECIPE)
    undisturbed = copied(pattern, place / "undisturbed")
    began = time.monotonic()
    finish(undisturbed)
    whole = time.monotonic() - began
    wanted = weights(undisturbed)
    draw = random.Random(SEED)
    trials: list[Trial] = []
    for number in range(KILLS):
        project = copied(pattern, place / f"killed-{number:02d}")
        moment = draw.uniform(number, number + 1) / KILLS * whole
        trials.append(kill_and_go_on(project, moment, wanted))
        print(f"  {number + 1}/{KILLS}: {trials[-1].sentence()}")
    agreed = sum(t.agrees for t in trials)
    stages = ", ".join(dict.fromkeys(t.killed_in for t in trials))
    bad = "; ".join(t.sentence() for t in trials if not t.agrees)
    note = f"killed in {stages}; {len(wanted)} weight files" + (f"; {bad}" if bad else "")
    yield "bit_identical", Measurement(agreed, KILLS, seed=SEED, note=note)


@dataclass(frozen=True)
class Trial:
    """One killed run: when, in which stage, and in what it differs from the undisturbed one."""

    seconds: float
    killed_in: str
    differing: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.differing and not self.repeated

    def sentence(self) -> str:
        said = [f"killed after {self.seconds:.1f} s in {self.killed_in}"]
        said += [f"differs in {', '.join(self.differing)}"] if self.differing else []
        said += [f"ran again {', '.join(self.repeated)}"] if self.repeated else []
        return ": ".join([said[0], " and ".join(said[1:]) or "the same bits"])


def kill_and_go_on(project: Path, seconds: float, wanted: dict[str, bytes]) -> Trial:
    """Start a run, kill it, go on, and compare. Raises `RuntimeError` if it does not go on to its end."""
    with (project.parent / f"{project.name}.log").open("w") as log:
        arguments = command(["run", "--plain"])
        # A session of its own, so that the kill reaches whatever the run has started.
        child = subprocess.Popen(
            arguments, cwd=project, env=one_thread(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    before, doing = manifests(project), at_work(project)
    finish(project)
    after, found = manifests(project), weights(project)
    differing = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    repeated = [name for name, text in before.items() if after.get(name) != text]
    return Trial(seconds, doing, tuple(differing), tuple(repeated))


def finish(project: Path) -> None:
    """Run what is not done. Raises `RuntimeError` with the last words of a run that fails."""
    done = tutelage(["run", "--plain"], project)
    if done.returncode != 0:
        raise RuntimeError(f"the run in {project.name} failed: {' '.join(done.stderr.splitlines()[-1:])}")


def manifests(project: Path) -> dict[str, str]:
    """Every finished artifact's manifest, word for word: it holds when the stage finished."""
    return {str(p.relative_to(project)): p.read_text() for p in project.glob("artifacts/*/*/manifest.json")}


def weights(project: Path) -> dict[str, bytes]:
    """Every safetensors file below the artifacts, by its path."""
    return {str(p.relative_to(project)): p.read_bytes() for p in project.glob("artifacts/**/*.safetensors")}


def at_work(project: Path) -> str:
    """The stage that was under way when the run was killed."""
    said = tutelage(["status", "--json"], project)
    stages = json.loads(said.stdout)["stages"]
    started = [s["stage"] for s in stages if s["state"] == "started"]
    done = [s["stage"] for s in stages if s["state"] == "done"]
    return started[0] if started else f"the pause after {done[-1]}" if done else "the start"


def copied(pattern: Path, target: Path) -> Path:
    """A copy of a project that nothing has been done in."""
    shutil.copytree(pattern, target)
    return target
