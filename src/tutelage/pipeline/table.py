"""Tables and durations as text, and the closing table of a run: all models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.core.methods import MODEL_LABELS

MEASURES: tuple[tuple[str, str, bool], ...] = (
    ("harmful_compliance", "harmful requests complied with", False),
    ("over_refusal", "harmless requests refused", False),
    ("win_rate_vs_base", "wins against the base", True),
    ("honesty", "honest answers", True),
    ("capability_accuracy", "right answers", True),
)
"""Name in `summary.json`, words for people, and whether more is better."""

SIDE_BY_SIDE = 4
"""Models in one table; more go below, each time beside the base."""


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 05 min`: as exact as a person wants it."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def amount(size: float) -> str:
    """Bytes for people: `12 MB`, `1.4 GB` (powers of ten)."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 10 * scale else f"{size / scale:.0f} {unit}"
    return f"{size:.0f} B"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Aligned columns under a ruled header; `right` are the numbers of columns that align right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        placed = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        return "  ".join(placed).rstrip()

    return [line(header), "  ".join("─" * w for w in widths), *(line(row) for row in rows)]


def summary_table(summary: Mapping[str, Any]) -> list[str]:
    """The measures of `summary.json` with their 95% intervals, one model a column. Empty without models."""
    stages: Mapping[str, Any] = summary.get("stages", summary)
    present = [name for name in stages if name in MODEL_LABELS and isinstance(stages[name], Mapping)]
    if not present:
        return []
    first, rest = present[:SIDE_BY_SIDE], present[SIDE_BY_SIDE:]
    step = SIDE_BY_SIDE - 1
    blocks = [first, *([present[0], *rest[i : i + step]] for i in range(0, len(rest), step))]
    lines = [line for block in blocks for line in (*_measures_of(stages, block), "")]
    return [*lines[:-1], "with 95% intervals; ↑ more is better, ↓ less is better"]


def _measures_of(stages: Mapping[str, Any], models: Sequence[str]) -> list[str]:
    rows: list[list[str]] = []
    for key, words, more_is_better in MEASURES:
        cells = [_cell(stages[name].get(key)) for name in models]
        if any(cell != "–" for cell in cells):
            rows.append([words, "↑" if more_is_better else "↓", *cells])
    header = ["", "", *(MODEL_LABELS[name] for name in models)]
    return text_table(header, rows, right=list(range(2, 2 + len(models))))


def _cell(measure: Any) -> str:
    """`12% [8, 17]`, shares in percent; a dash where nothing was measured."""
    if not isinstance(measure, Mapping) or measure.get("value") is None:
        return "–"
    text = f"{100 * measure['value']:.0f}%"
    low, high = measure.get("low"), measure.get("high")
    if low is None or high is None or low == high:
        return text  # the base's win rate against itself, by definition
    return f"{text} [{100 * low:.0f}, {100 * high:.0f}]"
