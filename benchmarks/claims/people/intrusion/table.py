"""All attacks, and the table of them in docs/concepts/security-of-the-pages.md.

`python -m benchmarks.claims.people.intrusion.table` writes the table anew; a test says when it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims.people.intrusion import doors, entry, forged, scripts, stuffed
from benchmarks.claims.people.intrusion.attack import Attack, Try
from benchmarks.claims.people.intrusion.scene import Scene

ATTACKS: tuple[Attack, ...] = (
    *scripts.ATTACKS,
    *entry.ATTACKS,
    *doors.ATTACKS,
    *forged.ATTACKS,
    *stuffed.ATTACKS,
)
PAGE = Path(__file__).parents[4] / "docs" / "concepts" / "security-of-the-pages.md"
BEGIN, END = "<!-- attacks -->", "<!-- /attacks -->"


def attempts(scene: Scene) -> Iterator[tuple[Attack, list[Try]]]:
    """Every attack on a scene. Raises `RuntimeError` for one that tried nothing."""
    for attack in ATTACKS:
        tries = list(attack.run(scene))
        if not tries:
            raise RuntimeError(f"'{attack.name}' tried nothing")
        yield attack, tries


def table() -> str:
    """The attacks as a table in Markdown."""
    rows = [f"| {a.name} | {a.tried} | {a.success} | {a.stopped} |" for a in ATTACKS]
    return "\n".join(
        ["| attack | what is tried | it got through if | stopped by |", "|---|---|---|---|", *rows]
    )


def written(page: str) -> str:
    """A page with the table between its marks. Raises `ValueError` if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
