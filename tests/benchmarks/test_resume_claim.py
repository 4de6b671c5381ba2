"""Kills of trainers: they land, a run that forgets is found out, and one that ends too early is made up for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.claims.training_core import resume
from benchmarks.claims.training_core.trainers import Prepared
from tutelage.core.recorder import Recorder
from tutelage.training.resume import load_checkpoint, save_checkpoint

STEPS = 6


def adder(remembers: bool = True, pause: float = 0.01) -> Prepared:
    """Adds each step's number to a weight; one that does not remember begins its sum again after a kill."""
    weight = torch.zeros(1)

    def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
        saved = load_checkpoint(folder) or {"step": 0, "weight": torch.zeros(1)}
        recorder.rewind(saved["step"])
        weight.copy_(saved["weight"] if remembers else torch.zeros(1))
        for step in range(saved["step"] + 1, STEPS + 1):
            time.sleep(pause)
            weight.add_(step)
            recorder.log(step, loss=1.0 / step, tokens_per_second=time.perf_counter())
            save_checkpoint(folder, {"step": step, "weight": weight})
            recorder.progress(step, STEPS)
        return {"steps": STEPS, "tokens_per_second": time.perf_counter()}

    return Prepared([weight], train)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A fork does not take other threads along."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_trainer_is_killed() -> None:
    from benchmarks.claims.training_core.trainers import TRAINERS

    assert [claim.name for claim in resume.CLAIMS] == list(TRAINERS)


def test_kills_land_and_a_run_that_goes_on_agrees(tmp_path: Path) -> None:
    found = resume.killed_often(adder(), tmp_path, kills=6)
    assert (found.value, found.n) == (6, 6)
    assert not list(tmp_path.glob("killed-*"))  # nothing to look into


def test_a_run_that_forgets_is_found_out(tmp_path: Path) -> None:
    """Killed in each quarter, it has lost something; not so a run whose only kill comes before its first step ends."""
    found = resume.killed_often(adder(remembers=False), tmp_path, kills=4)
    assert found.value < found.n
    assert "differing: weights" in found.note
    assert list(tmp_path.glob("killed-*"))


def test_a_run_that_fails_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
        raise ZeroDivisionError("by nought")

    with pytest.raises(RuntimeError, match="ended with code 1"):
        resume.killed_often(Prepared([], train), tmp_path)
    assert "by nought" in capfd.readouterr().err


def test_a_kill_after_the_end_does_not_count(tmp_path: Path) -> None:
    run = resume.Run(adder(pause=0.0), tmp_path / "run")
    run.go_on()
    run.kill(0.5, 0.01, in_writing=True)
    assert (run.landed, run.late) == ([], 1)


def test_a_kill_can_fall_into_a_write(tmp_path: Path) -> None:
    """It is told by the unfinished file, and one left by an earlier kill is not taken for another."""

    def train(folder: Path, recorder: Recorder) -> dict[str, Any]:
        (folder / "checkpoint.pt.tmp").write_bytes(b"half")
        time.sleep(60)
        return {}

    def idle(folder: Path, recorder: Recorder) -> dict[str, Any]:
        time.sleep(60)
        return {}

    run = resume.Run(Prepared([], train), tmp_path / "run")
    run.kill(0.0, 0.01, in_writing=True)
    assert run.landed == ["while one was written"]
    run.prepared = Prepared([], idle)
    run.kill(0.0, 0.01, in_writing=False)
    assert run.landed[1:] == ["before the first checkpoint"]


def test_a_digest_sees_every_bit() -> None:
    one, other = torch.zeros(4), torch.zeros(4)
    assert resume.digest([one]) == resume.digest([other])
    other[3] = -0.0
    assert torch.equal(one, other) and resume.digest([one]) != resume.digest([other])
