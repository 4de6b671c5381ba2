"""Who hears how a run goes: the Reporter protocol, a silent one, and plain lines.

A Reporter is a Listener of the Recorder that also hears when stages begin and end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tutelage.core.recorder import Listener
from tutelage.pipeline.table import duration

EVERY_SECONDS = 5.0
"""Plain progress says something this often, and at the end of a stage."""


@dataclass(frozen=True)
class StageNews:
    """A stage that is about to run: `place` of `total`, and seconds it may take (None: unknown).

    `resumed`: it goes on from where an earlier try was stopped.
    """

    stage: str
    summary: str
    place: int
    total: int
    expected: float | None
    resumed: bool


class Reporter(Listener, Protocol):
    """Hears a whole run. Every method must return quickly."""

    def started(self, news: StageNews) -> None: ...

    def finished(self, stage: str, seconds: float, metrics: Mapping[str, Any]) -> None: ...

    def kept(self, stage: str) -> None: ...

    def said(self, stage: str, text: str) -> None: ...


class Silent:
    """Hears everything and says nothing."""

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None: ...

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None: ...

    def started(self, news: StageNews) -> None: ...

    def finished(self, stage: str, seconds: float, metrics: Mapping[str, Any]) -> None: ...

    def kept(self, stage: str) -> None: ...

    def said(self, stage: str, text: str) -> None: ...


class Plain(Silent):
    """One line for each thing that happens; progress at most every five seconds."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda text: print(text, file=sys.stderr, flush=True))
        self._pace = Pace()
        self._last = 0.0

    def started(self, news: StageNews) -> None:
        self._pace = Pace()
        self._last = time.monotonic()
        self._write(headline(news))

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        left = self._pace.left(done, total)
        now = time.monotonic()
        if now - self._last < EVERY_SECONDS and done < total:
            return
        self._last = now
        self._write(f"  {stage}: {progress_text(done, total, rate, unit, left, note)}")

    def finished(self, stage: str, seconds: float, metrics: Mapping[str, Any]) -> None:
        self._write(f"  {stage}: {finish_text(seconds, metrics)}")

    def kept(self, stage: str) -> None:
        self._write(f"{stage}: done already")

    def said(self, stage: str, text: str) -> None:
        self._write(f"  {stage}: {text}")


class Pace:
    """Time left, from how fast this try goes: a stage that was resumed begins in the middle."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left(self, done: int, total: int) -> float | None:
        """Seconds left; None until there is something to judge by."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
            return None
        began, at = self._first
        return (now - began) / (done - at) * (total - done) if done > at else None


def headline(news: StageNews) -> str:
    """`[2/9] sft: supervised fine-tuning on demonstrations (about 3 min)`."""
    notes = ["goes on from where it was stopped"] if news.resumed else []
    if news.expected is not None:
        notes.append(f"about {duration(news.expected)}")
    return f"[{news.place}/{news.total}] {news.stage}: {news.summary}" + (
        f" ({', '.join(notes)})" if notes else ""
    )


def progress_text(done: int, total: int, rate: float, unit: str, left: float | None, note: str) -> str:
    """`12/30, 840 tokens/s, 2 min left, loss 1.234`."""
    parts = [f"{done}/{total}"]
    if rate > 0:
        parts.append(f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s")
    if left is not None and done < total:
        parts.append(f"{duration(left)} left")
    return ", ".join([*parts, note] if note else parts)


def finish_text(seconds: float, metrics: Mapping[str, Any]) -> str:
    """`done in 3 min: validation_loss 1.87, steps 26`: the first few metrics that are plain numbers."""
    shown: list[str] = []
    for name, value in metrics.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"
            shown.append(f"{name.replace('_', ' ')} {number}")
    return f"done in {duration(seconds)}" + (f": {', '.join(shown[:4])}" if shown else "")
