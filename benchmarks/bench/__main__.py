"""`python -m benchmarks.bench [ROW ...] [--quick | --smoke] [--mode equal] [--page]`: measure, keep, write the page.

With `--page` alone nothing is measured. A smoke run is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from benchmarks.bench import page, rows, runs, workloads
from benchmarks.bench.sides import THREADS

QUIET_LOAD = 0.3
"""Waiting processes a core before the start, above which the machine is not quiet."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(row.name for row in rows.ROWS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest run that goes everywhere; not kept"
    )
    parser.add_argument("--mode", choices=["equal", "system"], help="one mode only")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md from what is kept")
    given = parser.parse_args(arguments)
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    if given.page and not given.rows:
        say(page.write())
        return 0
    try:
        chosen = rows.chosen(given.rows)
    except KeyError as problem:
        say(f"error: {problem.args[0]}")
        return 2
    modes = (
        [given.mode]
        if given.mode
        else [rows.EQUAL]
        if given.quick or given.smoke
        else [rows.EQUAL, rows.SYSTEM]
    )
    scale = workloads.SMOKE if given.smoke else workloads.QUICK if given.quick else workloads.FULL
    if os.getloadavg()[0] > QUIET_LOAD * THREADS:
        say(
            f"warning: the load is {os.getloadavg()[0]:.1f} before anything was started: the machine is not quiet"
        )
    record = runs.run(chosen, modes, scale, say)
    print(json.dumps(record["rows"]))
    if not given.smoke:
        runs.keep(record)
        say(page.write())
    wanted = {row.name for row in chosen if set(row.modes) & set(modes)}
    return 0 if wanted <= {line["row"] for line in record["rows"]} else 1


if __name__ == "__main__":
    sys.exit(main())
