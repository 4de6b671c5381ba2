"""How long the doorway takes: processor seconds of `tutelage --help` and of `tutelage status`.

User and system time of the whole process, Python's start included, in a project that has run to its end;
the median of several runs, and as interval their range.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.claims.claim import Bound, Claim, Measurement
from benchmarks.claims.workplace import command, finished_tiny_project, one_thread, workplace

RUNS = 7
CLAIMS = (
    Claim("help", "`tutelage --help`: processor time, median", "s of CPU", (Bound("<", 0.5),)),
    Claim(
        "status",
        "`tutelage status` in a finished project: processor time, median",
        "s of CPU",
        (Bound("<", 0.5),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement]]:
    yield "help", _median(["--help"], workplace())
    yield "status", _median(["status"], finished_tiny_project())


def _median(arguments: Sequence[str], cwd: Path) -> Measurement:
    # The first run fills caches of compiled modules, as an installation does, and is not counted.
    times = [processor_seconds(arguments, cwd) for _ in range(RUNS + 1)][1:]
    return Measurement(
        statistics.median(times), RUNS, min(times), max(times), note="median and range of runs"
    )


def processor_seconds(arguments: Sequence[str], cwd: Path) -> float:
    """User and system seconds of one run of the command. Raises `RuntimeError` if it fails."""
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command(arguments), cwd=cwd, env=one_thread(), stdout=quiet, stderr=quiet)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"`tutelage {' '.join(arguments)}` ended with code {child.returncode}")
    return used.ru_utime + used.ru_stime
