"""The memory plan against the peak of real steps: a process a configuration, on the embedded model.

A few steps at the worst case that the plan is for: the longest sequences, full micro-batches, every response
as long as allowed. On the CPU; a GPU's allocator is another, and was not there to be measured.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured
from benchmarks.memory.configurations import ALL
from benchmarks.memory.measure import STATUS, MeasuringFailed
from benchmarks.memory.measure import measure as measured

LIMIT = 0.1
CLAIMS = tuple(
    Claim(
        one.name,
        f"{one.title}: estimated peak memory over the measured one",
        "x",
        (Bound(">=", 1 - LIMIT), Bound("<=", 1 + LIMIT)),
    )
    for one in ALL
)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    for one in ALL:
        if not STATUS.exists():
            yield one.name, NotMeasured("the peak of a process's memory is read from Linux's /proc")
            continue
        try:
            found = measured(one)
        except MeasuringFailed as problem:
            yield one.name, Measurement(None, 0, note=str(problem))
            continue
        note = f"estimated {found.estimated / 2**20:.0f} MiB, measured {found.peak / 2**20:.0f} MiB"
        yield one.name, Measurement(1 + found.off, 1, note=note)
