"""The two sides as processes: started one after the other, told when to work, watched for their memory.

Both get the same quiet settings: as many threads as there are cores, threads that sleep while they wait, no
network. What other processes take of the machine meanwhile is measured too (`others`).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1800.0
"""Seconds after which a side that says nothing is given up."""


class SideFailed(RuntimeError):
    """A side ended, or fell silent, before it had measured what it was asked for."""


def cores() -> int:
    """Cores that this process may use now."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


THREADS = cores()
"""Threads of each side, fixed when the run begins."""


def quiet_environment() -> dict[str, str]:
    """This process's environment with what both sides are given."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "OMP_NUM_THREADS": str(THREADS),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "PYTHONWARNINGS": "ignore",
    }


class Side:
    """A process that measures a repetition whenever it is told to; use it in a `with` block."""

    def __init__(self, python: Path, module: str, arguments: Sequence[str]) -> None:
        self.name = module
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.bench.{module}", *arguments],
            cwd=ROOT,
            env=quiet_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.facts = self._hear()
        self.peak_gb = 0.0

    def measure(self) -> float:
        """Let it do one repetition; the seconds that it took."""
        self._tell("go")
        return float(self._hear()["seconds"])

    def memory_gb(self) -> float:
        """Peak resident memory so far, 10^9 bytes: this process's and its descendants' peaks added up."""
        return sum(map(_peak, family(self.process.pid))) / 1e9

    def cpu_seconds(self) -> float:
        """Processor time so far, of it and its descendants."""
        return sum(map(_cpu, family(self.process.pid)))

    def allowed_cores(self) -> int:
        """How many cores the system lets it have: fewer than this process has if someone pinned it meanwhile."""
        return len(os.sched_getaffinity(self.process.pid)) if hasattr(os, "sched_getaffinity") else cores()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.peak_gb = self.memory_gb()
            try:
                self._tell("stop")
                self.process.wait(timeout=30)
            except (subprocess.TimeoutExpired, SideFailed):
                self.process.kill()
                self.process.wait()
        self._errors.close()

    def _tell(self, word: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise SideFailed(self._last_words()) from None

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        heard, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if heard else ""
        if not line:
            if not heard:
                self.process.kill()
            self.process.wait()
            raise SideFailed(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self._errors.seek(0)
        said = [line for line in self._errors.read().splitlines() if line.strip()][-12:]
        return f"{self.name} ended before it had measured: " + ("\n".join(said) or "no message")


class Others:
    """How much of the machine other processes take, from the system's own counters (Linux; else None)."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self.sides = sides
        self.began, self.busy, self.ours = time.monotonic(), busy_seconds(), self._ours()

    def share(self) -> float | None:
        """Share of all cores, since this object was made, that neither side used."""
        busy = busy_seconds()
        if busy is None or self.busy is None:
            return None
        mine = self._ours() - self.ours
        spent = max(time.monotonic() - self.began, 1e-9) * (os.cpu_count() or 1)
        return max(0.0, busy - self.busy - mine) / spent

    def _ours(self) -> float:
        return sum(side.cpu_seconds() for side in self.sides)


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:
        try:
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found


def busy_seconds() -> float | None:
    """Seconds that all cores together have worked since the machine started; None where it does not say."""
    try:
        numbers = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, *_ = numbers
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0
