"""One module of a subject in a process of its own: `python -m benchmarks.claims.alone main-job.resume`.

Its JSON lines are all that reaches standard output; whatever else is printed goes to standard error. An
exception leaves a line without a value, with the reason, for every claim that was not yet measured.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.claims.claim import NotMeasured, Row, dumps, failed, line, skipped
from benchmarks.claims.subjects import load


def measure_alone(name: str, module: Row, say: Callable[[dict[str, Any]], None]) -> None:
    """Measure a module's claims and hand each line to `say`; an exception becomes lines too."""
    claims = {claim.name: claim for claim in module.CLAIMS}
    began, reason = time.monotonic(), "nothing was measured for this claim"
    try:
        for found, what in module.measure():
            claim, now = claims.pop(found), time.monotonic()
            if isinstance(what, NotMeasured):
                say(skipped(name, claim, what.reason))
            else:
                say(line(name, claim, what, now - began))
            began = now
    except Exception as problem:
        traceback.print_exc()
        text = str(problem).strip().splitlines()
        reason = f"{type(problem).__name__}: {text[0][:300] if text else 'no message'}"
    for claim in claims.values():
        say(failed(name, claim, reason, time.monotonic() - began))


def main() -> None:
    # Libraries print where they like: the real standard output is kept aside for the lines.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    name = sys.argv[1]
    measure_alone(name, load(name), lambda said: print(dumps(said), file=lines, flush=True))


if __name__ == "__main__":
    main()
