"""Simulated raters over HTTP: each signs in, asks for a prompt, keeps a draft, and hands a ranking in.

A rater has at most one request under way, as a page has. What is not acknowledged is sent again, the very same; who
is told to wait waits. The time of a submit goes from its first attempt to its acknowledgement. Left out on
purpose: reading. The ranking is at random, and the time between two submits is the asked for one, more or less.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.claims.people.ledger import Given, Ledger, Ranking

AGAIN_SECONDS = 0.2
"""After which a request that was not answered is sent again."""
PATIENCE_SECONDS = 60.0
"""After which a request counts as not answered."""
SPREAD = 0.5
"""Two submits lie (1 ± this) times the asked for time apart."""


class Refused(Exception):
    """The server refused what an honest rater sent."""


@dataclass
class Phase:
    """What happened while the crowd worked at one pace: `latencies` of acknowledged submits, in seconds.

    `seconds` go to the last of them. `troubles` counts, by kind, requests that were not answered, failed, or were
    held back by a limit.
    """

    asked: float
    latencies: list[float] = field(default_factory=list[float])
    troubles: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    ran_out: bool = False
    began: float = field(default_factory=time.monotonic)

    def acknowledge(self, sent: float, now: float) -> None:
        """Note a ranking that was sent and acknowledged at these moments."""
        self.latencies.append(now - sent)
        # Not until the last rater has noticed that it is over: some wait for their next turn till then.
        self.seconds = now - self.began

    @property
    def rate(self) -> float:
        """Acknowledged rankings a second."""
        return len(self.latencies) / self.seconds if self.latencies else 0.0


class Person:
    """One rater with a session of their own."""

    def __init__(self, name: str, password: str, address: str, ledger: Ledger, seed: int) -> None:
        self.name, self._password, self._address, self._ledger = name, password, address, ledger
        self._random = random.Random(f"{seed} {name}")
        # Cookies of an address without a name are kept too.
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            connector=aiohttp.TCPConnector(limit=1),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
        )

    async def sign_in(self, phase: Phase) -> None:
        said = {"name": self.name, "password": self._password}
        answer = await self._ask(phase, "POST", "/api/sign-in", said)
        self._http.headers["X-CSRF-Token"] = answer["csrf"]

    async def work(self, phase: Phase, period: float, going: Callable[[], bool]) -> None:
        """Rank until `going` says no or nothing waits; what was begun to be handed in is handed in."""
        clock = time.monotonic
        due = clock() + period * self._random.random()
        while going():
            task = await self._ask(phase, "GET", "/api/next")
            if task is None:
                phase.ran_out = True
                return
            ranking = self._rank(task)
            await self._draft(phase, task["task"], ranking)
            await asyncio.sleep(max(0.0, due - clock()))
            if not going():
                return
            began = clock()
            await self._submit(phase, task, ranking)
            phase.acknowledge(began, clock())
            # Who is late does not hurry afterwards.
            due = max(due, began) + period * self._random.uniform(1 - SPREAD, 1 + SPREAD)

    async def close(self) -> None:
        await self._http.close()

    def _rank(self, task: dict[str, Any]) -> list[list[str]]:
        """Letters in a random order, now and then with a tie."""
        letters = [response["key"] for response in task["responses"]]
        self._random.shuffle(letters)
        if len(letters) > 2 and self._random.random() < 0.2:
            return [sorted(letters[:2]), *([letter] for letter in letters[2:])]
        return [[letter] for letter in letters]

    async def _draft(self, phase: Phase, task: str, ranking: list[list[str]]) -> None:
        places = {letter: place for place, group in enumerate(ranking, 1) for letter in group}
        content = {"places": places, "reason": "", "seconds": round(self._random.uniform(1, 60), 1)}
        place = self._ledger.send_draft(task, content)
        await self._ask(phase, "PUT", "/api/draft", {"task": task, "content": content})
        self._ledger.know_draft(task, place)

    async def _submit(self, phase: Phase, task: dict[str, Any], ranking: list[list[str]]) -> None:
        texts = {response["key"]: response["text"] for response in task["responses"]}
        said: Ranking = tuple(tuple(sorted(texts[letter] for letter in group)) for group in ranking)
        self._ledger.sent[task["task"]] = Given(self.name, said)
        body = {"task": task["task"], "ranking": ranking, "seconds": round(self._random.uniform(5, 90), 1)}
        await self._ask(phase, "POST", "/api/submit", body)
        self._ledger.acknowledged.add(task["task"])

    async def _ask(self, phase: Phase, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request, which is sent until there is one. Raises `Refused` for 4xx but 429."""
        while True:
            try:
                async with self._http.request(method, self._address + path, json=body) as answer:
                    if answer.status == 429:
                        phase.troubles[f"429 {path}"] += 1
                        wait = float(answer.headers["Retry-After"])
                    elif answer.status >= 500:
                        phase.troubles[f"{answer.status} {path}"] += 1
                        wait = AGAIN_SECONDS
                    elif answer.status >= 400:
                        raise Refused(f"{method} {path}: {answer.status} {(await answer.text())[:200]}")
                    else:
                        return await answer.json()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                phase.troubles["not answered"] += 1
                wait = AGAIN_SECONDS
            await asyncio.sleep(wait)


class Crowd:
    """Several raters, signed in, with one ledger."""

    def __init__(self, address: str, names: Sequence[str], password: str, seed: int = 0) -> None:
        self.ledger = Ledger()
        self._people = [Person(name, password, address, self.ledger, seed) for name in names]

    async def sign_in(self) -> Phase:
        """Everybody at once, as at nine in the morning."""
        phase = Phase(0.0)
        await asyncio.gather(*(person.sign_in(phase) for person in self._people))
        phase.seconds = time.monotonic() - phase.began
        return phase

    async def work(self, rate: float, going: Callable[[Phase], bool]) -> Phase:
        """Everybody ranks, `rate` rankings a second together, as long as `going` says so."""
        phase, period = Phase(rate), len(self._people) / rate
        await asyncio.gather(*(p.work(phase, period, lambda: going(phase)) for p in self._people))
        return phase

    async def close(self) -> None:
        await asyncio.gather(*(person.close() for person in self._people))
