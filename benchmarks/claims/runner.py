"""Runs the modules one after the other, each in a process of its own, so that none can stop the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims.claim import failed
from benchmarks.claims.subjects import load

ROOT = Path(__file__).resolve().parents[2]
Line = dict[str, Any]


def run_row(name: str, say: Callable[[Line], None], command: Sequence[str] | None = None) -> list[Line]:
    """Every line of one module, told to `say` as it comes. `command` stands in for the module's own process."""
    began = time.monotonic()
    command = command or [sys.executable, "-m", "benchmarks.claims.alone", name]
    lines: list[Line] = []
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for text in child.stdout:
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue  # cut short by a crash: the claim is told as failed below
            say(lines[-1])
    seen = {line["row"] for line in lines}
    reason = f"the process ended with code {child.returncode} before this was measured"
    for claim in load(name).CLAIMS:
        if f"{name}.{claim.name}" not in seen:
            lines.append(failed(name, claim, reason, time.monotonic() - began))
            say(lines[-1])
    return lines


def environment() -> dict[str, str]:
    """This process's environment, with import paths that hold in any folder."""
    import tutelage

    source = str(Path(tutelage.__file__).resolve().parents[1])
    paths = [str(ROOT), source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    absolute = dict.fromkeys(str(Path(p).resolve()) for p in paths)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(absolute), "TOKENIZERS_PARALLELISM": "false"}
