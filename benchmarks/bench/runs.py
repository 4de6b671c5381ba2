"""A whole run: each row in each mode, its sides by turns, its floor, and the record that is kept of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import environments
from benchmarks.bench import floor, pairs, rows, workloads
from benchmarks.bench.sides import THREADS, Others, Side, SideFailed, quiet_environment
from benchmarks.claims import results

FILE = results.FOLDER / "bench.json"
BUSY = 0.05
"""Share of the machine in other hands above which a row is marked as disturbed."""
Say = Callable[[str], None]
Line = dict[str, Any]


def run(chosen: Sequence[rows.Row], modes: Sequence[str], scale: workloads.Scale, say: Say) -> dict[str, Any]:
    """Measure, and return the record: date, machine, versions, rates of the machine, and a line a row and mode."""
    for version in {row.trl for row in chosen}:
        environments.make(version)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        work = workload(scale)
        path = Path(folder) / "work.json"
        path.write_text(json.dumps(work), encoding="utf-8")
        shape = floor.Shape.read(Path(work["model"]))
        before = rates(work)
        found = [
            line
            for row in chosen
            for mode in row.modes
            if mode in modes
            for line in attempted(row, mode, work, path, say)
        ]
        after = rates(work)
    best = floor.Rates(max(before.peak, after.peak), max(before.decoding, after.decoding))
    for line in found:
        add_floor(line, work, shape, best)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": results.revision(),
        "machine": {**results.machine(), "threads": THREADS},
        "scale": work["scale"],
        "data": work["source"],
        "rates": {"peak": best.peak, "decoding": best.decoding, "first": [before.peak, before.decoding]},
        "seconds": round(time.monotonic() - began),
        "rows": found,
    }


def workload(scale: workloads.Scale, base: str = "embedded") -> dict[str, Any]:
    """The work of a run, for the embedded model or for another folder's."""
    from tutelage.core.settings import TokenSettings
    from tutelage.data.tokens import TokenContract
    from tutelage.models.loading import resolve

    model = Path(resolve(base))
    contract = TokenContract.load(model, TokenSettings(max_prompt=512, max_response=512))
    found, source = workloads.pairs_for(contract)
    return workloads.build(scale, model, contract.vocab_size, contract.end_id, found, source)


def rates(work: dict[str, Any]) -> floor.Rates:
    """The machine's rates, measured in a process with both sides' settings."""
    command = [sys.executable, "-m", "benchmarks.bench.floor", work["model"], str(work["scale"]["rollouts"])]
    done = subprocess.run(
        command, cwd=results.ROOT, env=quiet_environment(), capture_output=True, text=True, check=True
    )
    return floor.Rates(**json.loads(done.stdout.splitlines()[-1]))


def attempted(row: rows.Row, mode: str, work: dict[str, Any], path: Path, say: Say) -> list[Line]:
    """`measured`; if a side fails, nothing, and the reason is told, so that the other rows go on."""
    try:
        return measured(row, mode, work, path, say)
    except SideFailed as problem:
        say(f"  not measured: {problem}")
        return []


def measured(row: rows.Row, mode: str, work: dict[str, Any], path: Path, say: Say) -> list[Line]:
    """The lines of one row in one mode: its own, and for PPO that of its memory."""
    scale = work["scale"]
    say(f"{row.title}, {mode}: starting both sides")
    arguments = [str(path), row.name, mode]
    with Side(Path(sys.executable), row.ours, arguments) as ours:
        with Side(environments.make(row.trl), row.theirs, arguments) as theirs:
            others = Others([ours, theirs])
            told = lambda n, a, b: say(f"  {'warm-up' if n < 0 else n + 1}: {a:.2f} s, TRL {b:.2f} s")  # noqa: E731
            seconds = pairs.interleave(ours, theirs, scale["warm_up"], scale["pairs"], told)
            share = others.share()
            allowed = [ours.allowed_cores(), theirs.allowed_cores()]
    units = [workloads.measured_units(row.name, work, scale["warm_up"] + i) for i in range(len(seconds))]
    both = pairs.compare(seconds, units, row.higher_is_better)
    line: Line = {
        "row": row.name,
        "mode": mode,
        "unit": row.unit,
        "trl": row.trl,
        "ours": both.ours,
        "theirs": both.theirs,
        "ratio": both.ratio,
        "low": both.low,
        "high": both.high,
        "trained": [ours.facts.get("trained"), theirs.facts.get("trained")],
        "peak_gb": [round(ours.peak_gb, 3), round(theirs.peak_gb, 3)],
        "others": share,
        "cores": allowed,
    }
    pinned = (
        ""
        if len({*allowed, THREADS}) == 1
        else f"; {THREADS} threads a side, on {allowed} cores: pinned by someone?"
    )
    say(f"  {both.ratio:.2f} times [{both.low:.2f}, {both.high:.2f}]" + disturbed(share) + pinned)
    if row.name != "ppo":
        return [line]
    return [line, of_memory(line)]


def of_memory(line: Line) -> Line:
    """PPO's memory as a line of its own: one number a side, so without a spread; its ratio is ours over theirs."""
    ours, theirs = line["peak_gb"]
    ratio = ours / theirs
    changed = {"row": rows.MEMORY, "unit": "GB", "ours": [ours], "theirs": [theirs]}
    rest = {key: value for key, value in line.items() if key not in ("floor", "formula")}
    return {**rest, **changed, "ratio": ratio, "low": ratio, "high": ratio}


def disturbed(share: float | None) -> str:
    """A warning if others took more of the machine than `BUSY`."""
    if share is None or share <= BUSY:
        return ""
    return f"; not quiet: other processes took {share:.0%} of the machine"


def add_floor(line: Line, work: dict[str, Any], shape: floor.Shape, best: floor.Rates) -> None:
    """Put the least possible, in the row's unit, beside what was measured, with its formula."""
    name, scale = line["row"], work["scale"]
    if name == rows.MEMORY:
        return
    turns = range(scale["warm_up"], scale["warm_up"] + scale["pairs"])
    least = sum(floor.seconds(name, work, shape, best, turn) for turn in turns)
    units = sum(workloads.measured_units(name, work, turn) for turn in turns)
    rate = line["unit"].endswith("/s")
    line["floor"] = units / least if rate else least / units
    line["formula"] = floor.FORMULAS[name]


def keep(record: dict[str, Any], path: Path = FILE) -> None:
    """Add a record to the file of all runs."""
    content = results.read(path)
    content["runs"].append(record)
    results.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def newest(path: Path = FILE) -> dict[str, Any] | None:
    """The newest record at full scale, else the newest at all; None where nothing was measured."""
    runs = results.read(path)["runs"]
    full = [run for run in runs if run["scale"]["name"] == workloads.FULL.name]
    return (full or runs or [None])[-1]
