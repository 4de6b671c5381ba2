"""The README's table, made from `benchmarks/results/`: the newest line of each row, whether it holds or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims import results
from benchmarks.claims.claim import Claim
from benchmarks.claims.subjects import load, rows, subjects

BEGIN, END = "<!-- claims -->", "<!-- /claims -->"
Line = dict[str, Any]


class NoMarkers(Exception):
    """The README has no place for the table."""


def rewrite(readme: Path, folder: Path = results.FOLDER, names: Sequence[str] | None = None) -> int:
    """Put the table between the markers of `readme`; returns the number of rows. The same results, the same bytes.

    Raises `NoMarkers` if the markers are not there, once each and in order.
    """
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    found = re.findall(f"{re.escape(BEGIN)}.*?{re.escape(END)}", text, re.DOTALL)
    if len(found) != 1 or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise NoMarkers(
            f"{readme} needs the lines {BEGIN} and {END}, once each, where the table should stand"
        )
    lines = table(folder, subjects() if names is None else names)
    fresh = text.replace(found[0], "\n".join([BEGIN, *lines, END]))
    if fresh != text:
        results.write_text(readme, fresh)
    return max(0, sum(line.startswith("| ") for line in lines) - 1)


def table(folder: Path, names: Sequence[str]) -> list[str]:
    """The lines of the table and the sentences under it."""
    text = ["| claim | measured | wanted | holds |", "|---|---|---|---|"]
    held, counted, runs = 0, 0, {}
    for subject in names:
        known = results.newest(folder / f"{subject}.json")
        for row, _ in _declared(subject):
            if row not in known:
                continue
            line, run = known[row]
            counted, held = counted + 1, held + bool(line["holds"])
            runs.setdefault(_where(run), None)
            cells = [line["claim"], _measured(line), line["target"], "yes" if line["holds"] else "**no**"]
            text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if not counted:
        return ["Nothing has been measured yet: `make claims`."]
    where = "; ".join(runs)
    return [*text, "", f"{held} of {counted} hold. Measured with `make claims` on {where}."]


def _declared(subject: str) -> list[tuple[str, Claim]]:
    """Every claim of a subject with its full name, in the order of the table."""
    return [
        (f"{subject}.{row}.{claim.name}", claim)
        for row in rows(subject)
        for claim in load(f"{subject}.{row}").CLAIMS
    ]


def _measured(line: Line) -> str:
    """`0.0031 nats [0.0012, 0.0031], n 3`; the reason where there is no value."""
    if line["value"] is None:
        return f"not measured: {line.get('note', '')}"
    unit = line["unit"]
    if unit == "share":
        text, ends = f"{100 * line['value']:.1f}%", [_percent(line[end]) for end in ("low", "high")]
    else:
        text = f"{_short(line['value'])} {unit}".rstrip()
        ends = [None if line[end] is None else _short(line[end]) for end in ("low", "high")]
    if ends[0] is not None and ends[1] is not None:
        text += f" [{ends[0]}, {ends[1]}]"
    text += f", n {line['n']}"
    return f"{text} ({line['note']})" if line.get("note") else text


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.3g}"


def _where(run: dict[str, Any]) -> str:
    m = run["machine"]
    return f"{m['cpu']} with {m['cores']} cores and {m['memory_gib']:.0f} GiB, torch {m['torch']}, {run['date'][:10]}"
