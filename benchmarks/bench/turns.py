"""A side's end of the turn-taking: it measures one repetition when told to, says how long it took, and waits.

While it waits it computes nothing, so the other side has the machine to itself. This file imports neither
side: both run it, in environments of their own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any


class Turns:
    """Reads `go` lines from standard input; the lines it writes are all that reaches standard output."""

    def __init__(self) -> None:
        self._lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # libraries print where they like
        self._began = 0.0

    def ready(self, **facts: Any) -> None:
        """Everything is loaded: say so, with what should be known of this side, and wait for the first turn."""
        self._say({"ready": True, **facts})
        self._wait()

    def done(self) -> None:
        """A repetition is over: say how long it took, and wait for the next turn."""
        self._say({"seconds": time.perf_counter() - self._began})
        self._wait()

    def _wait(self) -> None:
        if sys.stdin.readline().strip() != "go":
            # Deep inside a trainer's own loop there is no other way out that runs nothing more.
            self._say({"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9})
            os._exit(0)
        self._began = time.perf_counter()

    def _say(self, said: dict[str, Any]) -> None:
        print(json.dumps(said), file=self._lines, flush=True)


def opened() -> tuple[dict[str, Any], str, str, Turns]:
    """What a side is started with: the work, the row's name, the mode, and its turns."""
    turns = Turns()
    path, row, mode = sys.argv[1:4]
    return json.loads(Path(path).read_text(encoding="utf-8")), row, mode, turns
