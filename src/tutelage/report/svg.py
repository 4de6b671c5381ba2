"""The pieces of a drawing: lines, words, markers and the frame, styled by the page's theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tutelage.report.theme import TONES

SHAPES = {
    "diamond": "0,-1 1,0 0,1 -1,0",
    "triangle": "0,-1 1,1 -1,1",
    "wedge": "-1,-1 1,-1 0,1",
    "hourglass": "-1,-1 1,-1 -1,1 1,1",
    "bow": "-1,-1 1,1 1,-1 -1,1",
    "plus": "-.4,-1 .4,-1 .4,-.4 1,-.4 1,.4 .4,.4 .4,1 -.4,1 -.4,.4 -1,.4 -1,-.4 -.4,-.4",
    "cross": "-1,-.5 -.5,-1 0,-.5 .5,-1 1,-.5 .5,0 1,.5 .5,1 0,.5 -.5,1 -1,.5 -.5,0",
}
"""Corners of the markers that are polygons, on a square from -1 to 1."""


def swatch(tone: str) -> str:
    """The marker of a tone alone, to stand beside a word."""
    mark = marker(tone, 6, 6, 4.5)
    return f'<svg class="swatch" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">{mark}</svg>'


def marker(tone: str, x: float, y: float, r: float) -> str:
    """The marker of a tone: shape as well as colour tell series apart."""
    shape, style = TONES[tone].marker, f'class="mark {tone}"'
    if shape == "circle":
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'
    if shape == "square":
        s = 0.9 * r
        return f'<rect {style} x="{x - s:.1f}" y="{y - s:.1f}" width="{2 * s:.1f}" height="{2 * s:.1f}"/>'
    d = 1.3 * r
    places = (corner.split(",") for corner in SHAPES[shape].split())
    corners = " ".join(f"{x + d * float(a):.1f},{y + d * float(b):.1f}" for a, b in places)
    return f'<polygon {style} points="{corners}"/>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str, tone: str = "") -> str:
    """A straight line of a kind (`grid`, `axis`, `guide`, `bar`) and, if it belongs to a series, its tone."""
    return (
        f'<line class="{f"{kind} {tone}".strip()}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    )


def text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    """Escaped words at a place."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def svg(name: str, title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    """The frame, with a title and a description for screen readers."""
    ids = f"{name}-title {name}-desc"
    said = (
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    head = f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{ids}">'
    return f"{head}{said}{''.join(parts)}</svg>"
