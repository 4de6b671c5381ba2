"""Draws what `people.active` measured last: `python -m benchmarks.claims.people.active_curve FILE.svg`.

Mean accuracy over the seeds by judgements, a line for each way, with the range of the seeds around random selection.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.claims.workplace import workplace

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 64, 24, 190, 52
LINES = {
    "random": ("at random", "#6b7280"),
    "information": ("expected information", "#2563eb"),
    "diverse": ("the same, over topics", "#059669"),
    "entropy": ("closeness alone", "#d97706"),
}


def svg(sizes: Sequence[int], accuracy: dict[str, list[list[float]]]) -> str:
    """The picture; `accuracy` is by way, then by seed, then by size."""
    mean = {way: [sum(at) / len(at) for at in zip(*accuracy[way], strict=True)] for way in LINES}
    lows, highs = ([end(at) for at in zip(*accuracy["random"], strict=True)] for end in (min, max))
    bottom = int(100 * min(*lows, *(min(curve) for curve in mean.values()))) / 100
    top = int(100 * max(*highs, *(max(curve) for curve in mean.values())) + 1) / 100

    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * size / sizes[-1]

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - value) / (top - bottom)

    def points(values: Sequence[float], along: Sequence[int]) -> str:
        return " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in zip(along, values, strict=True))

    said = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13" fill="#374151">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for step in range(round((top - bottom) * 100) + 1):
        value = bottom + step / 100
        said.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        said.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    for size in sizes[3::4]:
        said.append(f'<text x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{size}</text>')
    around = f"{points(lows, sizes)} {points(highs[::-1], sizes[::-1])}"
    said.append(f'<polygon points="{around}" fill="#6b7280" opacity="0.15"/>')
    for place, (way, (name, colour)) in enumerate(LINES.items()):
        said.append(
            f'<polyline points="{points(mean[way], sizes)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        row = TOP + 16 + 22 * place
        said.append(f'<path d="M{WIDTH - RIGHT + 12} {row - 4}h22" stroke="{colour}" stroke-width="2"/>')
        said.append(f'<text x="{WIDTH - RIGHT + 40}" y="{row}">{name}</text>')
    said.append(f'<text x="{x(sizes[-1] / 2):.1f}" y="{HEIGHT - 10}" text-anchor="middle">judgements</text>')
    said.append(f'<text x="{LEFT}" y="14">accuracy on comparisons that were held out</text>')
    return "\n".join([*said, "</svg>", ""])


if __name__ == "__main__":
    kept = json.loads((workplace() / "active.json").read_text(encoding="utf-8"))
    Path(sys.argv[1]).write_text(svg(kept["sizes"], kept["accuracy"]), encoding="utf-8")
