"""Does what a rater was thanked for survive `kill -9`?

The raters of `load.py` go on while the server is killed twenty times and started again each time; the database itself
goes on. After each kill, before the server is back, the database is held against all that was acknowledged
until then: rankings, and drafts of prompts that are not handed in. A rater who hears nothing sends the same again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured
from benchmarks.claims.people.load import SHOWN

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.claims.people.crowd_over_http import Crowd
    from benchmarks.claims.people.ledger import Ledger
    from benchmarks.claims.people.served import Server

NONE = (Bound("=", 0.0),)


def _claims(kind: str) -> tuple[Claim, ...]:
    shown, killed = SHOWN[kind], "the server killed with kill -9 20 times under load"
    return (
        Claim(f"lost_{kind}", f"acknowledged rankings lost, {killed}, {shown}", "rankings", NONE),
        Claim(f"drafts_{kind}", f"acknowledged drafts lost, {killed}, {shown}", "drafts", NONE),
        Claim(f"doubled_{kind}", f"rankings that are there twice, {killed}, {shown}", "rankings", NONE),
    )


CLAIMS = tuple(claim for kind in SHOWN for claim in _claims(kind))


@dataclass(frozen=True)
class Size:
    """How often it is killed, each time `up` seconds (about) after the raters found it again."""

    raters: int = 60
    rate: float = 60.0
    kills: int = 20
    up: float = 3.0
    prompts: int = 3000


@dataclass
class Found:
    """What came of it. `drafts` counts the drafts that were looked for, over all looks."""

    lost: set[str] = field(default_factory=set)
    lost_drafts: set[str] = field(default_factory=set)
    doubled: int = 0
    acknowledged: int = 0
    drafts: int = 0
    unanswered: int = 0
    kills: int = 0


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


def one(kind: str, size: Size) -> Found:
    """Serve, load, kill again and again, and look each time and at the end."""
    from benchmarks.claims.people.served import database_of, make_project, serving

    names, found = [f"Rater {number}" for number in range(size.raters)], Found()
    with database_of(kind) as database:
        folder, password = make_project(kind, database, size.prompts, names)
        with serving(folder) as (server, address):
            ledger = asyncio.run(_kill(server, address, names, password, size, found))
        look(folder, ledger, found)
    found.acknowledged = len(ledger.acknowledged)
    return found


async def _kill(
    server: Server, address: str, names: list[str], password: str, size: Size, found: Found
) -> Ledger:
    from benchmarks.claims.people.crowd_over_http import Crowd

    crowd = Crowd(address, names, password)
    try:
        await crowd.sign_in()
        over = asyncio.Event()
        working = asyncio.create_task(crowd.work(size.rate, lambda _: not over.is_set()))
        generator = random.Random(0)
        for _ in range(size.kills):
            await _served_again(crowd, working)
            await asyncio.sleep(size.up * generator.uniform(0.5, 1.5))
            server.kill()
            found.kills += 1
            known = deepcopy(crowd.ledger)
            await asyncio.to_thread(look, server.folder, known, found)
            await asyncio.to_thread(server.start)
        await _served_again(crowd, working)
        over.set()
        found.unanswered = (await working).troubles["not answered"]
        return crowd.ledger
    finally:
        await crowd.close()


async def _served_again(crowd: Crowd, working: asyncio.Task[object]) -> None:
    """Wait until a ranking more is acknowledged; raters who ended early raise what ended them."""
    known = len(crowd.ledger.acknowledged)
    while len(crowd.ledger.acknowledged) == known:
        if working.done():
            working.result()
            raise RuntimeError("the raters had nothing left to rank: `prompts` is too small")
        await asyncio.sleep(0.05)


def look(folder: Path, known: Ledger, found: Found) -> None:
    """Hold the database against what was acknowledged before it is read."""
    from benchmarks.claims.people.ledger import doubled, lost, lost_drafts, open_drafts
    from benchmarks.claims.people.served import read_kept

    kept = read_kept(folder)
    found.lost |= set(lost(known, kept))
    found.lost_drafts |= set(lost_drafts(known, kept))
    found.drafts += open_drafts(known, kept)
    found.doubled = max(found.doubled, doubled(known, kept))


def rows(kind: str, found: Found) -> Iterator[tuple[str, Measurement]]:
    """The measured rows of one database."""
    note = f"killed {found.kills} times; {found.unanswered} requests were not answered and sent again"
    yield f"lost_{kind}", Measurement(float(len(found.lost)), found.acknowledged, note=note)
    yield f"drafts_{kind}", Measurement(float(len(found.lost_drafts)), found.drafts, note=note)
    yield f"doubled_{kind}", Measurement(float(found.doubled), found.acknowledged, note=note)
