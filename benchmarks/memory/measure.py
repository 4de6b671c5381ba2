"""One configuration in a process of its own: `python -m benchmarks.memory.measure NAME` prints a JSON line.

The peak is Linux's own count of resident memory (VmHWM), libraries and mapped weights included. It depends on
what the C library's allocator makes of it, and so on the machine; the inventory of live tensors does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims.runner import ROOT, environment
from benchmarks.memory.configurations import Configuration, named

STATUS = Path("/proc/self/status")


class MeasuringFailed(Exception):
    """The process of a configuration ended without a number."""


@dataclass(frozen=True)
class Found:
    """Bytes: estimated before anything was loaded, held once all was imported, and at the peak."""

    estimated: int
    imported: int
    peak: int

    @property
    def off(self) -> float:
        """How far the estimate is from the peak, as a share of the peak; below 0 if it is too low."""
        return self.estimated / self.peak - 1


def measure(configuration: Configuration) -> Found:
    """Start the process, and read what it found. Raises `MeasuringFailed`."""
    command = [sys.executable, "-m", "benchmarks.memory.measure", configuration.name]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise MeasuringFailed(f"{configuration.name} ended with code {done.returncode}: {' '.join(last)}")
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def run(configuration: Configuration) -> Found:
    """Estimate, then work, in this process."""
    from transformers import AutoConfig

    from benchmarks.memory.work import STAGES
    from tutelage.core.recorder import Recorder
    from tutelage.models.inventory import ModelSize
    from tutelage.models.loading import pick_device, pick_dtype, resolve
    from tutelage.models.memory import estimate, told
    from tutelage.pipeline.demands import work_of

    recipe = configuration.recipe()
    device = pick_device("cpu")
    work = work_of(configuration.stage, recipe, pick_dtype(recipe.model.dtype, device), device.type)
    size = ModelSize.of(AutoConfig.from_pretrained(resolve(recipe.model.base)))
    imported = told(STATUS, "VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        STAGES[configuration.stage](recipe, Path(folder), Recorder(configuration.stage))
    return Found(estimate(work, size).total, imported, told(STATUS, "VmHWM"))


if __name__ == "__main__":
    print(json.dumps(run(named(sys.argv[1])).__dict__))
