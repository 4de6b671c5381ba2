"""A stranger's first minutes: clone this repository's HEAD, then `make` in it, in a virtual environment of its own.

`make demo` runs the whole quickstart and downloads the model, so it is measured only if
`TUTELAGE_CLAIMS_DEMO=1` says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured
from benchmarks.claims.runner import ROOT
from benchmarks.claims.workplace import emptied

CLAIMS = (
    Claim("test_fast", "`make test-fast` in a fresh clone and a fresh venv: exit code", "", (Bound("=", 0),)),
    Claim("demo", "`make demo` in a fresh clone and a fresh venv: exit code", "", (Bound("=", 0),)),
)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    clone = emptied("fresh_clone") / "tutelage"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, stdout=sys.stderr)
    head = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    at = f"at {head.stdout.strip()}"
    yield "test_fast", _make("test-fast", clone, at)
    if os.environ.get("TUTELAGE_CLAIMS_DEMO") != "1":
        yield "demo", NotMeasured("it takes the whole demo: set TUTELAGE_CLAIMS_DEMO=1 to measure it")
    else:
        yield "demo", _make("demo", clone, at)


def _make(target: str, clone: Path, at: str) -> Measurement:
    """Run a target as a stranger would: without our import paths and our virtual environment."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    env = {k: v for k, v in os.environ.items() if k not in ours}
    own = str(Path(sys.executable).parent)
    env["PATH"] = os.pathsep.join(p for p in env["PATH"].split(os.pathsep) if p != own)
    began = time.monotonic()
    done = subprocess.run(["make", target], cwd=clone, env=env, stdout=sys.stderr)
    return Measurement(
        done.returncode, 1, note=f"{at}, {time.monotonic() - began:.0f} s with the installation"
    )
