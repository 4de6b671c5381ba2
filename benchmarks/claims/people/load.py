"""Does one process serve an office of raters, and at what rate does it stop doing so?

60 simulated raters (`crowd_over_http.py`) sign in at `tutelage serve rate` over HTTP from one address, and each asks,
keeps a draft and hands in about once a second until 10,000 rankings are acknowledged. Then all of them work faster,
step by step, until the 95th percentile of a submit exceeds the limit, something fails, or they are not served as
fast as they work. The database is read afterwards and held against what was acknowledged, the steps included.
The raters run on the same machine, in one process.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from benchmarks.claims.people.crowd_over_http import Crowd, Phase
    from benchmarks.claims.people.ledger import Ledger
    from benchmarks.claims.people.served import Server

SHOWN = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
LIMIT_MS = 250.0
SERVED = 0.95
"""A step holds only if at least this share of the asked rate was served."""
NONE = (Bound("=", 0.0),)


def _claims(kind: str) -> tuple[Claim, ...]:
    shown = SHOWN[kind]
    return (
        Claim(
            f"p95_{kind}",
            f"95th percentile of a submit, 60 raters about once a second each, {shown}",
            "ms",
            (Bound("<", LIMIT_MS),),
        ),
        Claim(
            f"breaks_{kind}",
            f"most rankings a second at which that stays below {LIMIT_MS:.0f} ms without a failure, {shown}",
            "rankings/s",
            (Bound(">=", 60 * SERVED),),
        ),
        Claim(f"lost_{kind}", f"acknowledged rankings that are lost under load, {shown}", "rankings", NONE),
        Claim(f"doubled_{kind}", f"rankings that are there twice after load, {shown}", "rankings", NONE),
    )


CLAIMS = tuple(claim for kind in SHOWN for claim in _claims(kind))


@dataclass(frozen=True)
class Size:
    """How much is asked for: `steps` in rankings a second together, each for `step_seconds`."""

    raters: int = 60
    rankings: int = 10_000
    rate: float = 60.0
    steps: tuple[float, ...] = (75, 90, 105, 120, 140, 160, 180, 210, 240)
    step_seconds: float = 12.0

    @property
    def prompts(self) -> int:
        """Enough for every step."""
        from benchmarks.claims.people.served import OVERLAP

        most = self.rankings + self.step_seconds * sum(self.steps)
        return int(most / OVERLAP) + 2 * self.raters


@dataclass
class Run:
    """One database: the signing in, the main load, the steps, and what is lost and doubled at the end."""

    signing: Phase
    main: Phase
    processor: float
    """Of a core, while the main load went on: the server's share."""
    steps: list[Phase] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    acknowledged: int = 0


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    yield from measured(Size())


def measured(size: Size) -> Iterator[tuple[str, Measurement | NotMeasured]]:
    """All rows; `size` makes them quick to try."""
    from benchmarks.postgres import NoPostgres

    for kind in SHOWN:
        try:
            yield from rows(kind, one(kind, size))
        except NoPostgres as reason:
            yield from ((claim.name, NotMeasured(str(reason))) for claim in _claims(kind))


def one(kind: str, size: Size) -> Run:
    """Serve, load, break, stop, count."""
    from benchmarks.claims.people.ledger import doubled, lost
    from benchmarks.claims.people.served import database_of, make_project, read_kept, serving

    names = [f"Rater {number}" for number in range(size.raters)]
    with database_of(kind) as database:
        folder, password = make_project(kind, database, size.prompts, names)
        with serving(folder) as (server, address):
            run, ledger = asyncio.run(_load(server, address, names, password, size))
        kept = read_kept(folder)
    run.lost, run.doubled = len(lost(ledger, kept)), doubled(ledger, kept)
    run.acknowledged = len(ledger.acknowledged)
    return run


async def _load(
    server: Server, address: str, names: list[str], password: str, size: Size
) -> tuple[Run, Ledger]:
    from benchmarks.claims.people.crowd_over_http import Crowd

    crowd = Crowd(address, names, password)
    try:
        signing = await crowd.sign_in()
        busy, began = server.cpu_seconds(), time.monotonic()
        main = await crowd.work(size.rate, lambda phase: len(phase.latencies) < size.rankings)
        run = Run(signing, main, (server.cpu_seconds() - busy) / (time.monotonic() - began))
        if holds(main):
            await _faster(crowd, run, size)
        return run, crowd.ledger
    finally:
        await crowd.close()


async def _faster(crowd: Crowd, run: Run, size: Size) -> None:
    """Step by step, until one does not hold."""
    for rate in size.steps:
        end = time.monotonic() + size.step_seconds
        run.steps.append(await crowd.work(rate, lambda _, end=end: time.monotonic() < end))
        if not holds(run.steps[-1]):
            return


def holds(phase: Phase) -> bool:
    """Whether the server kept up: fast enough, without a failure, at the pace of the raters."""
    return (
        bool(phase.latencies)
        and not phase.troubles
        and p95(phase) < LIMIT_MS
        and phase.rate >= SERVED * phase.asked
    )


def p95(phase: Phase) -> float:
    """In milliseconds; endless if nothing was acknowledged."""
    from benchmarks.claims.people.ledger import percentile

    return 1000 * percentile(phase.latencies, 0.95) if phase.latencies else math.inf


def rows(kind: str, run: Run) -> Iterator[tuple[str, Measurement]]:
    """The measured rows of one database."""
    main = run.main
    held_back = sum(run.signing.troubles.values())
    note = (
        f"from median to longest; {main.rate:.1f} rankings/s, {_troubles(main)}, server {run.processor:.2f} of a core; "
        f"all signed in after {run.signing.seconds:.1f} s, {held_back} told to wait; load {os.getloadavg()[0]:.1f}"
    )
    times = main.latencies
    median, longest = 1000 * statistics.median(times), 1000 * max(times)
    yield f"p95_{kind}", Measurement(p95(main), len(times), median, longest, note=note, seconds=main.seconds)
    yield f"breaks_{kind}", breaks(run)
    note = "steps to the breaking point included"
    yield f"lost_{kind}", Measurement(float(run.lost), run.acknowledged, note=note)
    yield f"doubled_{kind}", Measurement(float(run.doubled), run.acknowledged, note=note)


def breaks(run: Run) -> Measurement:
    """The rate served in the last phase that held; in the note how the next one did not."""
    phases = [run.main, *run.steps]
    held = [phase for phase in phases if holds(phase)]
    broken = next((phase for phase in phases if not holds(phase)), None)
    told = "it did not break: what a rater may submit a second was reached"
    if broken is not None:
        told = f"at {broken.asked:.0f} asked: {broken.rate:.0f} served, {p95(broken):.0f} ms, {_troubles(broken)}"
        told += ", nothing left to rank" if broken.ran_out else ""
    value = held[-1].rate if held else 0.0
    note = f"{len(phases)} rates tried; {told}; load {os.getloadavg()[0]:.1f}"
    return Measurement(value, sum(len(p.latencies) for p in phases), note=note)


def _troubles(phase: Phase) -> str:
    return ", ".join(f"{n} times {what}" for what, n in phase.troubles.items()) or "no failure"
