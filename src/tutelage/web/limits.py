"""How often something may be done: token buckets in memory, one for each who and what.

A bucket holds `burst` tokens and gains `rate` a second. Forgotten when the process ends, and kept for at
most `MOST` callers, the longest unseen going first: a flood of names must not fill the memory.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

MOST = 20_000


class Rule(NamedTuple):
    """`burst` at once, then `rate` a second."""

    burst: float
    rate: float


SIGN_IN_FROM_ADDRESS = Rule(burst=30, rate=1 / 4)
SIGN_IN_AS_NAME = Rule(burst=8, rate=1 / 30)
SUBMIT = Rule(burst=20, rate=5)
WRITE = Rule(burst=60, rate=20)


class Limiter:
    """Safe to ask from several threads. `clock` gives seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def wait(self, what: str, who: str, rule: Rule) -> float:
        """Take a token: 0 if there was one, else the seconds until there is."""
        now = self._clock()
        with self._lock:
            left, seen = self._buckets.pop((what, who), (rule.burst, now))
            left = min(rule.burst, left + (now - seen) * rule.rate)
            allowed = left >= 1
            self._buckets[what, who] = (left - 1 if allowed else left, now)
            if len(self._buckets) > MOST:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / rule.rate

    def give_back(self, what: str, who: str, rule: Rule) -> None:
        """Put a token back that was taken for something that turned out to be in order."""
        with self._lock:
            if (what, who) in self._buckets:
                left, seen = self._buckets[what, who]
                self._buckets[what, who] = (min(rule.burst, left + 1), seen)
