"""What was measured, kept: every run with its machine and date in `benchmarks/results/SUBJECT.json`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "results"
Line = dict[str, Any]


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB, system, and the versions that numbers depend on."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
    }


def revision() -> str:
    """`git describe` of this checkout, '-dirty' if it holds changes; empty outside of git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def append(subject: str, lines: Iterable[Line], folder: Path = FOLDER) -> Path:
    """Add lines to the subject's file as a run of today on this machine. Lines left out on purpose are not kept."""
    kept = [line for line in lines if not line.get("skipped")]
    path = folder / f"{subject}.json"
    content = read(path)
    if kept:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content["runs"].append({"date": now, "code": revision(), "machine": machine(), "lines": kept})
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def read(path: Path) -> dict[str, Any]:
    """The content of a results file; one without runs if it is not there."""
    if not path.exists():
        return {"runs": []}
    return json.loads(path.read_text(encoding="utf-8"))


def newest(path: Path) -> dict[str, tuple[Line, dict[str, Any]]]:
    """By row: its newest line, and the run that it belongs to."""
    return {line["row"]: (line, run) for run in read(path)["runs"] for line in run["lines"]}


def write_text(path: Path, text: str) -> None:
    """Replace a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
