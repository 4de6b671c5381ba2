"""Speed and memory beside TRL's, by the benchmark's own code (`benchmarks.bench`), which keeps the run too.

`TUTELAGE_BENCH` says what is done: `full` measures anew (an hour), `quick` measures with fewer and shorter
repetitions (which keeps nothing), anything else takes the newest full run that is kept. PPO has two rows: at
equal work, and with TRL's critic trained whole, as its documentation has it. Intervals are the range of pairs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.bench import rows
from benchmarks.claims import results
from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured

WORDS = {rows.EQUAL: "at equal work", rows.SYSTEM: "system against system"}


def _claims() -> Iterator[tuple[tuple[str, str], Claim]]:
    for row in rows.ROWS:
        for mode in row.modes:
            if row.asked is not None:
                text = f"{row.title}: times as fast as TRL, {WORDS[mode]}"
                yield (row.name, mode), Claim(f"{row.name}_{mode}", text, "x", (Bound(">=", row.asked),))
    for mode in (rows.EQUAL, rows.SYSTEM):
        text = f"PPO: our peak memory over TRL's, {WORDS[mode]}"
        target = (Bound("<=", rows.ASKED_MEMORY),)
        yield (rows.MEMORY, mode), Claim(f"{rows.MEMORY}_{mode}", text, "x", target)


ASKED = dict(_claims())
CLAIMS = tuple(ASKED.values())


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    record = _record(os.environ.get("TUTELAGE_BENCH", "kept"))
    if record is None:
        reason = "no full run on a machine like this one is kept: make bench"
        yield from ((claim.name, NotMeasured(reason)) for claim in CLAIMS)
        return
    lines = {(line["row"], line["mode"]): line for line in record["rows"]}
    for key, claim in ASKED.items():
        yield claim.name, summed_up(lines.get(key), record)


def _record(what: str) -> dict[str, Any] | None:
    from benchmarks.bench import runs, workloads

    if what not in ("full", "quick"):
        found = runs.newest()
        kept = found is not None and found["scale"]["name"] == workloads.FULL.name and _here(found)
        return found if kept else None
    scale = workloads.FULL if what == "full" else workloads.QUICK
    record = runs.run(rows.ROWS, tuple(WORDS), scale, lambda said: print(said, file=sys.stderr, flush=True))
    if what == "full":
        runs.keep(record)
    return record


def _here(record: dict[str, Any]) -> bool:
    """Whether a record was made on a machine like this one; claims name the machine they are measured on."""
    machine = results.machine()
    return all(record["machine"][key] == machine[key] for key in ("cpu", "cores", "torch", "transformers"))


def summed_up(line: dict[str, Any] | None, record: dict[str, Any]) -> Measurement | NotMeasured:
    """A row's ratio with the range of its pairs, and both sides' values in the note."""
    if line is None:
        return NotMeasured("this row was left out of the run, or a side of it failed: make bench")
    from benchmarks.bench.page import middle, number

    note = f"ours {number(middle(line['ours']))}, TRL {line['trl']} {number(middle(line['theirs']))} {line['unit']}"
    if "floor" in line:
        note += f", floor {number(line['floor'])}"
    note += f"; {record['scale']['name']} run of {record['date'][:10]}, code {record['code']}"
    if (line.get("others") or 0.0) > 0.05:
        note += f", others took {line['others']:.0%} of the machine"
    n = len(line["ours"])
    ends = (None, None) if n == 1 else (line["low"], line["high"])
    return Measurement(line["ratio"], n, *ends, note=note, seconds=float(record["seconds"]))
