"""`kill -9` at random moments: no finished stage runs twice, nothing half-done counts, the end is one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.fakes import FAKES, STEP_SECONDS, STEPS, make_project, read_log
from tests.pipeline.test_run import Ears
from tutelage.core.recorder import read_metrics
from tutelage.pipeline.lock import LOCK, running
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent

ROOT = Path(__file__).parents[2]
SCRIPT = (
    "import sys; from tests.pipeline.fakes import FAKES; from tutelage import Project; "
    "Project(sys.argv[1], stages=FAKES).run()"
)


def begin(folder: Path, step_seconds: float = 0.04) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env={**os.environ, "PYTHONPATH": paths, STEP_SECONDS: str(step_seconds)},
        stderr=subprocess.DEVNULL,
    )


def kill_when(process: subprocess.Popen[bytes], folder: Path, lines: int) -> None:
    """Kill the run as soon as its log has this many lines."""
    end = time.monotonic() + 60
    while len(read_log(folder)) < lines and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, object]:
    done = Project(make_project(tmp_path / "calm"), stages=FAKES).run(reporter=Silent()).artifacts
    return {name: found.artifact.files for name, found in done.items()}


def test_killed_again_and_again(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    folder = make_project(tmp_path / "killed")
    chance = random.Random(5)
    for _ in range(4):
        kill_when(begin(folder), folder, len(read_log(folder)) + chance.randint(1, 4))
    assert Project(folder, stages=FAKES).status().stages[0].state == "done"
    ears = Ears()
    done = Project(folder, stages=FAKES).run(reporter=ears).artifacts
    lines = read_log(folder)
    assert lines.count("data ran") == 1  # it was finished before the first kill
    steps = [int(line.split()[-1]) for line in lines if line.startswith("sft")]
    # A kill between writing the checkpoint and the log may drop a line; none is done twice out of order.
    assert steps == sorted(steps) and steps[-1] == STEPS
    assert len(steps) == len(set(steps)) >= STEPS - 4
    assert {name: found.artifact.files for name, found in done.items()} == undisturbed
    assert len(read_metrics(done["sft"].folder / "metrics.jsonl")) == STEPS


def test_the_lock_of_a_killed_run_is_taken_over_and_said(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "killed")
    process = begin(folder)
    kill_when(process, folder, 4)
    assert str(process.pid) in (folder / LOCK).read_text()
    assert running(folder) is None
    status = Project(folder, stages=FAKES).status()
    assert [s.state for s in status.stages] == ["done", "started", "to do", "to do"]
    assert status.next is not None and status.next.stage == "sft"
    ears = Ears()
    Project(folder, stages=FAKES).run(reporter=ears)
    assert f"run: took over the lock of process {process.pid}, which ended without letting go" in ears.heard
    assert "2/4 sft resumed" in ears.heard
    assert (folder / LOCK).read_text() == ""


def test_a_living_run_is_seen_and_not_disturbed(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "busy")
    process = begin(folder)
    try:
        while len(read_log(folder)) < 2:
            time.sleep(0.01)
        assert running(folder) == process.pid
        assert Project(folder, stages=FAKES).status().to_dict()["running"] == process.pid
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
    assert running(folder) is None
    assert Project(folder, stages=FAKES).status().next is None


def test_ctrl_c_leaves_a_project_that_goes_on(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "stopped")
    process = begin(folder, step_seconds=1.0)  # long: a busy machine may look at the log late
    while len(read_log(folder)) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert (folder / LOCK).read_text() == ""
    assert Project(folder, stages=FAKES).run(reporter=Silent()).ran[0] == "sft"
