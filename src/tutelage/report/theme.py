"""One palette, one type scale, one spacing unit: what every page of ours looks like.

The first colours are those of Okabe and Ito (2008), darkened or lightened until text in them reaches a
contrast of 4.5 on its background; the others are chosen to stay apart for readers who see fewer colours
(simulated as Machado et al. 2009). A series always differs by its line and its marker as well.
"""

from __future__ import annotations

from typing import NamedTuple

SPACE = "8px"
"""The spacing unit. Every distance on a page is a multiple of it."""

READING_WIDTH = "66ch"
PAGE_WIDTH = "1060px"

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif'
MONOSPACE = 'ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", Menlo, Consolas, monospace'

TYPE_SCALE = {
    "small": "0.8125rem",
    "note": "0.9rem",
    "body": "1.0625rem",
    "lead": "1.1875rem",
    "section": "1.5rem",
    "title": "2.125rem",
}


class Tone(NamedTuple):
    """How a series looks: its colour on light and on dark paper, its line's dashes, its marker."""

    light: str
    dark: str
    dashes: str
    marker: str


TONES = {
    "base": Tone("#62686f", "#a5acb4", "2 3", "circle"),
    "sft": Tone("#0068a8", "#5cb3ea", "6 3", "square"),
    "ppo": Tone("#b84a00", "#f08a3c", "none", "diamond"),
    "rloo": Tone("#00805c", "#3fc298", "10 3", "triangle"),
    "grpo": Tone("#8a2be0", "#c58cff", "8 3 2 3", "cross"),
    "dpo": Tone("#4d4800", "#e3d44a", "4 2", "hourglass"),
    "kto": Tone("#1c2f6b", "#c9defa", "1 3", "wedge"),
    "rejection": Tone("#82004a", "#ff4d6d", "12 3 2 3 2 3", "plus"),
    "online-dpo": Tone("#5c1a1a", "#ffc9ad", "3 5", "bow"),
    "one": Tone("#0068a8", "#5cb3ea", "none", "circle"),
    "two": Tone("#b84a00", "#f08a3c", "6 3", "diamond"),
    "three": Tone("#00805c", "#3fc298", "2 3", "square"),
    "four": Tone("#9c4f82", "#d79bc2", "8 3 2 3", "triangle"),
}
"""The tones of the models (each method has one), and those of figures that show no models."""

LIGHT = {
    "page": "#f7f7f5",
    "card": "#ffffff",
    "ink": "#1c2024",
    "quiet": "#5b626b",
    "rule": "#dcdedf",
    "grid": "#e9eaea",
    "link": "#0b5a8f",
    "good": "#00674b",
    "bad": "#a63a00",
    **{name: tone.light for name, tone in TONES.items()},
}

DARK = {
    "page": "#131619",
    "card": "#1b1f23",
    "ink": "#e4e7ea",
    "quiet": "#9ea6ae",
    "rule": "#343a40",
    "grid": "#272c31",
    "link": "#7cc0ec",
    "good": "#4cc9a0",
    "bad": "#ff9a5c",
    **{name: tone.dark for name, tone in TONES.items()},
}


def css_variables() -> str:
    """The theme as CSS custom properties: light, dark where the reader's system says so, light on paper.

    A class for each tone sets `--tone`.
    """
    fixed = {
        "space": SPACE,
        "reading": READING_WIDTH,
        "wide": PAGE_WIDTH,
        "font": FONT,
        "mono": MONOSPACE,
        **{f"type-{name}": size for name, size in TYPE_SCALE.items()},
    }
    light = f":root{{color-scheme:light dark;{_declared(fixed)}{_declared(LIGHT)}}}"
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_declared(DARK)}}}}}"
    tones = "".join(f".{name}{{--tone:var(--{name})}}" for name in TONES)
    return f"{light}\n{dark}\n{tones}"


def _declared(values: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())
