"""`python -m benchmarks.memory [NAME ...]`: estimated and measured, a line a configuration, one after the other."""

from __future__ import annotations

import sys

from benchmarks.memory.configurations import ALL, named
from benchmarks.memory.measure import measure

MIB = 1 << 20


def main() -> None:
    for one in [named(name) for name in sys.argv[1:]] or ALL:
        found = measure(one)
        print(
            f"{one.name:12} estimated {found.estimated / MIB:6.0f} MiB, measured {found.peak / MIB:6.0f} MiB "
            f"({found.imported / MIB:.0f} once imported): {found.off:+.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
