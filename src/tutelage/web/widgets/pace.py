"""Rankings a day as bars: drawn by us, since it is ten lines and needs no library."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

WIDTH, HEIGHT, FOOT = 736, 140, 22


def pace_chart(days: Sequence[tuple[date, int]]) -> str:
    """An SVG with one bar a day, its number above it; days without any keep their place."""
    most = max((n for _, n in days), default=0) or 1
    step = WIDTH / max(1, len(days))
    total = sum(n for _, n in days)
    parts = [
        f'<svg class="pace" viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" role="img" '
        f'aria-label="{total} rankings in {len(days)} days, {most if total else 0} on the busiest">',
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT + 0.5}" y2="{HEIGHT + 0.5}"/>',
    ]
    for place, (day, count) in enumerate(days):
        tall = (HEIGHT - 20) * count / most
        middle = (place + 0.5) * step
        if count:
            parts.append(
                f'<rect x="{middle - step * 0.35:.1f}" y="{HEIGHT - tall:.1f}" width="{step * 0.7:.1f}" '
                f'height="{tall:.1f}" rx="2"/>'
            )
            parts.append(
                f'<text x="{middle:.1f}" y="{HEIGHT - tall - 5:.1f}" text-anchor="middle">{count}</text>'
            )
        if place % 2 == (len(days) - 1) % 2:
            label = f"{day.day} {day:%b}"
            parts.append(f'<text x="{middle:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{label}</text>')
    return "".join([*parts, "</svg>"])
