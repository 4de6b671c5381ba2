"""The Recorder: every metric and every bit of progress of a stage goes through it.

It takes numbers by step and writes JSON Lines; listeners (the terminal, other sinks) hear the same.
Left out on purpose: what a metric means (that is `docs/metrics.md`) and how it is drawn.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tutelage.core.files import replace_text


class Listener(Protocol):
    """Hears what a stage records. Both methods must return quickly."""

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None: ...

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None: ...


class Recorder:
    """Writes `metrics.jsonl` in the stage's folder, one line a step: `{"step": 3, "loss": 1.25, ...}`."""

    def __init__(self, stage: str, folder: Path | None = None, listeners: Sequence[Listener] = ()) -> None:
        self.stage = stage
        self.path = None if folder is None else folder / "metrics.jsonl"
        self.listeners = tuple(listeners)
        self._started = time.monotonic()
        self._units = 0.0

    def log(self, step: int, **values: float) -> None:
        """Record numbers at a step. A number that is not finite is written as null."""
        plain = {k: float(v) for k, v in values.items()}
        if self.path is not None:
            line: dict[str, Any] = {k: (v if math.isfinite(v) else None) for k, v in plain.items()}
            with self.path.open("a") as stream:
                stream.write(json.dumps({"step": step, **line}) + "\n")
        for listener in self.listeners:
            listener.metrics(self.stage, step, plain)

    def progress(
        self, done: int, total: int, units: float = 0.0, unit: str = "tokens", note: str = ""
    ) -> None:
        """Say how far the stage is; `units` were worked on since the last call (for the rate a second)."""
        self._units += units
        rate = self._units / max(time.monotonic() - self._started, 1e-9)
        for listener in self.listeners:
            listener.progress(self.stage, done, total, rate, unit, note)

    def rewind(self, step: int) -> None:
        """Forget lines after `step`: called when a stage goes on from a checkpoint made there."""
        if self.path is None or not self.path.exists():
            return
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        replace_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, in order. A last line cut short by a kill is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in filter(None, path.read_text().split("\n")):
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines
