"""A figure: a drawing, its heading, and the sentence under it that says what to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.report.plots import Axis, Guide, Point, Series, chart


@dataclass(frozen=True)
class Figure:
    """A drawing (`svg`, safe markup), its heading (under a stage's), and the sentence below."""

    title: str
    svg: str
    caption: str


def figure(
    name: str,
    title: str,
    caption: str,
    x: Axis,
    y: Axis,
    drawn: Sequence[Series],
    guides: Sequence[Guide] = (),
    height: int = 250,
) -> Figure:
    """A chart with its caption, which is also its description for those who cannot see it."""
    drawing = chart(name, title, caption, x, y, drawn, guides, height=height)
    heading = title.partition(": ")[2] or title
    return Figure(heading[0].upper() + heading[1:], drawing, caption)


def points_of(values: Sequence[tuple[int, float]], radius: float = 3.0) -> list[Point]:
    """Steps and values as points without intervals."""
    return [Point(step, value, radius=radius) for step, value in values]


def steps(label: str) -> Axis:
    """An axis of whole steps."""
    return Axis(label, whole=True)


def share_axis(label: str) -> Axis:
    """An axis of shares from 0 to 100%."""
    return Axis(label, low=0.0, high=1.0, percent=True)
