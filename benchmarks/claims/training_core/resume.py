"""`kill -9` at random moments of every trainer's work, then again from its folder: the same end, bit for bit.

A trainer is prepared once in this process and each try is a fork of it: a try has the state of before the first
step and what lies in the folder, and costs nothing to start. Each run is killed four times on the way, at one
random moment in each quarter of its steps, and then goes to its end; runs are made until a trainer has been
killed often enough. One kill in four waits for the next writing of a checkpoint and falls into it, since so
short a moment is seldom hit by chance. A kill that comes after the end does not count and is made up for.
What `main-job.resume` kills is the whole command, loading and saving included; here only training is killed.

The end is the trained weights, what the trainer measured, and `metrics.jsonl` without its rates: a kill counts
towards the claim if its run ended with all three as the undisturbed run did. The state of the optimiser and of
controllers is in the weights of the steps after it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured
from benchmarks.claims.workplace import emptied

if TYPE_CHECKING:
    from benchmarks.claims.training_core.trainers import Prepared

KILLS, A_RUN = 20, 4
MOST_RUNS = 4 * KILLS // A_RUN
SEED = 23
WORDS = {
    "sft": "SFT",
    "reward": "reward model",
    "ensemble": "ensemble of 2 reward models",
    "perspectives": "reward model with 2 perspectives",
    "ppo": "PPO",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "rejection": "rejection sampling",
    "online_dpo": "online DPO",
    "dpo": "DPO",
    "kto": "KTO",
}
CLAIMS = tuple(
    Claim(
        name,
        f"{words}: killed with -9 at {KILLS} random moments of training and started again: bit-identical end",
        "kills",
        (Bound("=", KILLS),),
    )
    for name, words in WORDS.items()
)
WHERE = ("before the first checkpoint", "while one was written", "between two")
CHECKPOINT = "checkpoint.pt"
RATES = ("tokens_per_second",)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    if "fork" not in multiprocessing.get_all_start_methods():
        yield from ((claim.name, NotMeasured("tries are forks, which Windows has not")) for claim in CLAIMS)
        return
    import torch

    from benchmarks.claims.training_core.trainers import TRAINERS
    from tutelage.models.tiny import make_tiny

    torch.set_num_threads(1)  # a fork does not take other threads along
    place = emptied("training_resume")
    base = make_tiny(place / "model")
    for name, prepare in TRAINERS.items():
        yield name, killed_often(prepare(base), place / name)


def killed_often(prepared: Prepared, place: Path, kills: int = KILLS) -> Measurement:
    """Kills whose run ended as the undisturbed one did, of `kills` that landed."""
    undisturbed = Run(prepared, place / "undisturbed")
    began = time.monotonic()
    undisturbed.go_on()
    pace = (time.monotonic() - began) / max(undisturbed.steps, 1)
    wanted, draw = undisturbed.end(), random.Random(SEED)
    agreed, where, differing, late = 0, Counter[str](), set[str](), 0
    for number in range(MOST_RUNS):
        left = kills - where.total()
        if left <= 0:
            break
        run = Run(prepared, place / f"killed-{number:02d}")
        for part in range(min(left, A_RUN)):
            moment = draw.uniform(part, part + 1) / A_RUN * undisturbed.steps
            run.kill(moment, pace, in_writing=part == number % A_RUN)
        run.go_on()
        late += run.late
        where.update(run.landed)
        found = {what for what, text in run.end().items() if text != wanted[what]}
        differing |= found
        agreed += 0 if found else len(run.landed)
        if not found:
            shutil.rmtree(run.folder)
    told = [f"{where[one]} {one}" for one in WHERE]
    told += [f"{undisturbed.steps} steps of {1000 * pace:.0f} ms"]
    told += [f"{late} too late and made up for"] if late else []
    told += [f"differing: {', '.join(sorted(differing))}"] if differing else []
    return Measurement(agreed, where.total(), seed=SEED, note="; ".join(told))


@dataclass
class Run:
    """A run in its folder: tries of it that were killed, where those kills landed, and its end."""

    prepared: Prepared
    folder: Path
    landed: list[str] = field(default_factory=list[str])
    late: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._fork = multiprocessing.get_context("fork")
        self._told = self._fork.RawArray("q", 2)

    @property
    def done(self) -> int:
        """Steps that the last try has told of; below 0 until it has begun."""
        return self._told[0]

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self._told[1]

    def go_on(self) -> None:
        """Train to the end. Raises `RuntimeError` if that fails."""
        child = self._start()
        child.join()
        if child.exitcode != 0 or not (self.folder / "end.json").exists():
            raise RuntimeError(f"training in {self.folder} ended with code {child.exitcode}")

    def kill(self, moment: float, pace: float, in_writing: bool) -> None:
        """Start a try and kill it at `moment`, in steps of `pace` seconds, or when it next writes a checkpoint."""
        if (self.folder / "end.json").exists():
            self.late += 1
            return
        before = written(self.folder)
        child = self._start()
        while child.is_alive() and self.done < int(moment):
            time.sleep(pace / 50)
        time.sleep((moment % 1) * pace)
        while in_writing and child.is_alive() and written(self.folder) in (None, before):
            pass  # a write takes a few milliseconds: too short to sleep meanwhile
        child.kill()
        child.join()
        if child.exitcode != -signal.SIGKILL:
            self.late += 1
            return
        self.landed.append(self._where(before))

    def _where(self, before: int | None) -> str:
        if written(self.folder) not in (None, before):
            return WHERE[1]
        return WHERE[2] if (self.folder / CHECKPOINT).exists() else WHERE[0]

    def end(self) -> dict[str, str]:
        """What the run arrived at, by what it is."""
        return json.loads((self.folder / "end.json").read_text())

    def _start(self) -> Any:
        self._told[0] = -1
        child = self._fork.Process(target=_try, args=(self.prepared, self.folder, self._told))
        child.start()
        return child


class Counted:
    """A listener that keeps how far training is where the parent process sees it."""

    def __init__(self, told: Any) -> None:
        self.told = told

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None:
        """They are in `metrics.jsonl`."""

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        self.told[0], self.told[1] = done, total


def _try(prepared: Prepared, folder: Path, told: Any) -> None:
    """In the child: train from what lies in `folder`, and leave `end.json` there."""
    from tutelage.core.files import replace_text
    from tutelage.core.recorder import Recorder, read_metrics

    recorder = Recorder("training", folder, [Counted(told)])
    told[0] = 0
    measured = prepared.train(folder, recorder)
    end = {
        "weights": digest(prepared.moved),
        "measured": json.dumps(without_rates(measured)),
        "metrics": json.dumps([without_rates(line) for line in read_metrics(folder / "metrics.jsonl")]),
    }
    replace_text(folder / "end.json", json.dumps(end))


def digest(tensors: Any) -> str:
    """A hash of all bits of the tensors, in their order."""
    import torch

    seen = hashlib.sha256()
    for tensor in tensors:
        seen.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()


def without_rates(line: dict[str, Any]) -> dict[str, Any]:
    """What a run must say again: all but how fast it was."""
    return {key: value for key, value in line.items() if key not in RATES}


def written(folder: Path) -> int | None:
    """When the checkpoint that is being written, or was when a kill came, was begun; None if there is none."""
    try:
        return (folder / f"{CHECKPOINT}.tmp").stat().st_mtime_ns
    except FileNotFoundError:
        return None
