"""`python -m benchmarks.claims [SUBJECT | SUBJECT.ROW ...] [--table]`: measure, print, keep.

One JSON line a claim on standard output. Exit code 1 if any that was measured does not hold, 2 for a name
that is unknown. With `--table` the README's table is written anew from what is kept; alone it measures nothing.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.claims import results, table
from benchmarks.claims.claim import dumps
from benchmarks.claims.runner import run_row
from benchmarks.claims.subjects import UnknownClaim, chosen


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SUBJECT[.ROW]", help="all subjects if none is named")
    parser.add_argument("--table", action="store_true", help="write the README's table from what is kept")
    parser.add_argument("--list", action="store_true", help="say what there is, and measure nothing")
    given = parser.parse_args(arguments)
    try:
        names = chosen(given.names)
        if given.list:
            print("\n".join(names))
            return 0
        bad = measure(names) if given.names or not given.table else 0
        if given.table:
            count = table.rewrite(results.ROOT / "README.md")
            print(f"README.md: {count} rows", file=sys.stderr)
    except (UnknownClaim, table.NoMarkers) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 1 if bad else 0


def measure(names: list[str]) -> int:
    """Measure modules one after the other, keeping each as soon as it is there. Returns how many lines do not hold."""
    bad = 0
    for name in names:
        print(f"measuring {name}", file=sys.stderr)
        lines = run_row(name, lambda said: print(dumps(said), flush=True))
        results.append(name.partition(".")[0], lines)
        bad += sum(not line["holds"] for line in lines if not line.get("skipped"))
    return bad


if __name__ == "__main__":
    sys.exit(main())
