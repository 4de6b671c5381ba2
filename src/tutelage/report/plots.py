"""Figures as inline SVG that follow the page's theme: lines with bands, points with intervals, diagrams.

`chart` draws series on two axes; `intervals` draws one interval a row; `strip` is the small one that
stands in a table. Colours are the theme's CSS variables, so one drawing serves light, dark and paper.
Left out on purpose: interaction, and every kind of plot that the report does not need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tutelage.report.numbers import number, percent, significant
from tutelage.report.svg import line, marker, svg, text
from tutelage.report.theme import TONES

WIDTH, LEFT, RIGHT, BOTTOM = 440, 50, 14, 40
_CHARACTER = 6.3
"""Mean width of a character at the size of the figures' text, for laying out legends and labels."""


class Point(NamedTuple):
    """One point, its interval if it has one, and the marker's radius."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    radius: float = 3.0


@dataclass(frozen=True)
class Series:
    """`kind` is `line` (with a band where points have intervals), `points` (with error bars) or `both`."""

    name: str
    points: Sequence[Point]
    tone: str = "one"
    kind: str = "line"


@dataclass(frozen=True)
class Axis:
    """What an axis shows, with its unit. `low` and `high` fix an end; `include` must lie within.

    `percent` axes show shares of 1 as per cent; `whole` axes count steps and end where the data end.
    """

    label: str
    low: float | None = None
    high: float | None = None
    include: tuple[float, ...] = ()
    percent: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Guide:
    """A horizontal line to compare with, such as chance."""

    value: float
    label: str


class Row(NamedTuple):
    """One row of `intervals`: a value with its interval, or several of different tones."""

    label: str
    note: str
    marks: Sequence[tuple[str, float, float, float]]


class Ticks(NamedTuple):
    """The ends of an axis, and its ticks with what is written at each."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


class _Scale(NamedTuple):
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)


def chart(
    name: str,
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    guides: Sequence[Guide] = (),
    diagonal: bool = False,
    height: int = 250,
) -> str:
    """An SVG of `series` on two axes. `name` must be unique on the page. Points must be finite."""
    legend = [(s.name, s.tone, s.kind) for s in series] if len(series) > 1 else []
    rows = _legend_rows(legend)
    top = 30 + 17 * len(rows)
    points = [p for s in series for p in s.points]
    xs = [*(p.x for p in points), *x.include]
    ys = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    ys += [*(g.value for g in guides), *y.include]
    x_low, x_high, x_ticks = axis_range(xs, x)
    y_low, y_high, y_ticks = axis_range(ys, y)
    to_x = _Scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    to_y = _Scale(y_low, y_high, height - BOTTOM, top)
    parts = [text(2, 14, y.label, "label")]
    parts += [_legend_row(row, 30 + 17 * i) for i, row in enumerate(rows)]
    for tick, said in y_ticks:
        parts.append(line(LEFT, to_y(tick), WIDTH - RIGHT, to_y(tick), "grid"))
        parts.append(text(LEFT - 7, to_y(tick) + 4, said, "tick", "end"))
    for tick, said in x_ticks:
        parts.append(line(to_x(tick), height - BOTTOM, to_x(tick), height - BOTTOM + 4, "axis"))
        parts.append(text(to_x(tick), height - BOTTOM + 17, said, "tick", "middle"))
    parts.append(line(LEFT, height - BOTTOM, WIDTH - RIGHT, height - BOTTOM, "axis"))
    parts.append(text(WIDTH - RIGHT, height - 4, x.label, "label", "end"))
    if diagonal:
        low, high = max(x_low, y_low), min(x_high, y_high)
        parts.append(line(to_x(low), to_y(low), to_x(high), to_y(high), "guide"))
    for guide in guides:
        at = to_y(guide.value)
        parts.append(line(LEFT, at, WIDTH - RIGHT, at, "guide"))
        parts.append(text(WIDTH - RIGHT, at + 13, guide.label, "tick", "end"))
    for one in series:
        parts += _drawn(one, to_x, to_y)
    return svg(name, title, description, WIDTH, height, parts)


def intervals(
    name: str,
    title: str,
    description: str,
    axis: Axis,
    rows: Sequence[Row],
    guides: Sequence[Guide] = (),
    legend: Sequence[tuple[str, str]] = (),
) -> str:
    """One line a row: its label, its marks with their intervals on a shared axis, and a note (its n)."""
    left = min(200, 14 + _CHARACTER * max(len(r.label) for r in rows))
    right = 10 + _CHARACTER * max(len(r.note) for r in rows)
    keys = _legend_rows([(said, tone, "points") for said, tone in legend])
    top = 10 + 17 * len(keys) + (16 if guides else 0)
    heights = [18 + 11 * (len(r.marks) - 1) for r in rows]
    bottom = top + sum(heights) + 8
    values = [v for r in rows for mark in r.marks for v in mark[1:]]
    low, high, ticks = axis_range([*values, *(g.value for g in guides), *axis.include], axis)
    to_x = _Scale(low, high, left, WIDTH - right)
    parts = [_legend_row(row, 13 + 17 * i) for i, row in enumerate(keys)]
    for tick, said in ticks:
        parts.append(line(to_x(tick), top, to_x(tick), bottom, "grid"))
        parts.append(text(to_x(tick), bottom + 15, said, "tick", "middle"))
    anchors = ["middle"] if len(guides) == 1 else ["end", *["start"] * (len(guides) - 1)]
    for guide, anchor in zip(sorted(guides, key=lambda g: g.value), anchors, strict=False):
        parts.append(line(to_x(guide.value), top - 2, to_x(guide.value), bottom, "guide"))
        parts.append(text(to_x(guide.value), top - 6, guide.label, "tick", anchor))
    y = float(top)
    for row, height in zip(rows, heights, strict=True):
        middle = y + height / 2 + 4
        parts.append(text(left - 8, middle + 4, row.label, "tick ink", "end"))
        parts.append(text(WIDTH, middle + 4, row.note, "tick", "end"))
        for i, (tone, value, lower, upper) in enumerate(row.marks):
            at = middle + 11 * (i - (len(row.marks) - 1) / 2)
            parts.append(line(to_x(lower), at, to_x(upper), at, "bar", tone))
            parts.append(marker(tone, to_x(value), at, 4))
        y += height
    parts.append(text(WIDTH - right, bottom + 32, axis.label, "label", "end"))
    return svg(name, title, description, WIDTH, int(bottom + 38), parts)


def strip(
    name: str,
    title: str,
    description: str,
    marks: Sequence[tuple[str, float, float, float]],
    guide: float | None = None,
) -> str:
    """A small picture of shares with their intervals between 0 and 100%, for a cell of a table."""
    width, height = 190, 20 + 13 * len(marks)
    to_x = _Scale(0.0, 1.0, 6, width - 6)
    parts = [line(to_x(v), 4, to_x(v), height - 15, "grid") for v in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts += [text(to_x(v), height - 3, t, "tick", a) for v, t, a in ((0, "0", "start"), (1, "100%", "end"))]
    if guide is not None:
        parts.append(line(to_x(guide), 2, to_x(guide), height - 13, "guide"))
        parts.append(text(to_x(guide), height - 3, f"{guide:.0%}", "tick", "middle"))
    for i, (tone, value, low, high) in enumerate(marks):
        at = 10 + 13 * i
        parts.append(line(to_x(low), at, to_x(high), at, "bar", tone))
        parts.append(marker(tone, to_x(value), at, 4))
    return svg(name, title, description, width, height, parts)


def _drawn(one: Series, to_x: _Scale, to_y: _Scale) -> list[str]:
    parts: list[str] = []
    places = [(to_x(p.x), to_y(p.y)) for p in one.points]
    bands = [p for p in one.points if p.low is not None and p.high is not None]
    if one.kind == "line" and len(bands) > 1:
        upper = [f"{to_x(p.x):.1f},{to_y(p.high or 0.0):.1f}" for p in bands]
        lower = [f"{to_x(p.x):.1f},{to_y(p.low or 0.0):.1f}" for p in reversed(bands)]
        parts.append(f'<polygon class="band {one.tone}" points="{" ".join(upper + lower)}"/>')
    if one.kind != "points" and len(places) > 1:
        joined = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        dashes = TONES[one.tone].dashes
        parts.append(f'<polyline class="line {one.tone}" stroke-dasharray="{dashes}" points="{joined}"/>')
    if one.kind != "line" or len(places) == 1:
        for p, (px, py) in zip(one.points, places, strict=True):
            if p.low is not None and p.high is not None:
                parts.append(line(px, to_y(p.low), px, to_y(p.high), "bar", one.tone))
            parts.append(marker(one.tone, px, py, p.radius))
    return parts


def _legend_rows(entries: Sequence[tuple[str, str, str]]) -> list[list[tuple[float, str, str, str]]]:
    """Entries (name, tone, kind) laid in rows: each gets its place from the left."""
    rows: list[list[tuple[float, str, str, str]]] = []
    x = math.inf
    for name, tone, kind in entries:
        width = (34 if kind == "points" else 48) + _CHARACTER * len(name)
        if x + width > WIDTH:
            rows.append([])
            x = 2.0
        rows[-1].append((x, name, tone, kind))
        x += width
    return rows


def _legend_row(row: Sequence[tuple[float, str, str, str]], y: float) -> str:
    parts: list[str] = []
    for x, name, tone, kind in row:
        if kind != "points":
            d = f'stroke-dasharray="{TONES[tone].dashes}"'
            parts.append(f'<line class="line {tone}" {d} x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}"/>')
        if kind != "line":
            parts.append(marker(tone, x + (5 if kind == "points" else 11), y - 4, 4))
        parts.append(text(x + (14 if kind == "points" else 28), y, name, "tick ink"))
    return "".join(parts)


def axis_range(values: Sequence[float], axis: Axis) -> Ticks:
    """Ends of an axis and four to seven round ticks between them, with what to write at each."""
    low = axis.low if axis.low is not None else min(values)
    high = axis.high if axis.high is not None else max(values)
    if high <= low:
        low, high = (low, low + 1.0) if axis.low is not None else (low - 0.5, low + 0.5)
    rough = (high - low) / 4.5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(s for s in (1, 2, 2.5, 5, 10) if s * power >= 0.85 * rough)
    step = max(1.0, math.ceil(step)) if axis.whole else step
    first = math.floor(low / step + 1e-9) if axis.low is None else math.ceil(low / step - 1e-9)
    inside = axis.high is not None or axis.whole
    last = math.floor(high / step + 1e-9) if inside else math.ceil(high / step - 1e-9)
    ticks = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    shown = 100 * step if axis.percent else step
    fits = (d for d in range(300) if round(shown * 10**d) and abs(shown * 10**d % 1 - 0.5) > 0.499)
    decimals = next(fits)
    form = percent if axis.percent else number
    if not axis.percent and decimals > 4 and max(abs(tick) for tick in ticks) < 1e-3:
        form, decimals = significant, 4  # 0.0000025 would be wider than the margin
    start = low if axis.low is not None else ticks[0]
    return Ticks(start, high if inside else ticks[-1], [(tick, form(tick, decimals)) for tick in ticks])
