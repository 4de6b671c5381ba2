"""One palette, one type scale, one spacing unit: what every page of ours looks like.

The colours of the three models are those of Okabe and Ito (2008), darkened or lightened until text in them
reaches a contrast of 4.5 on its background; a series always differs by its line and its marker as well.
"""

from __future__ import annotations

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
    "base": "#62686f",
    "sft": "#0068a8",
    "ppo": "#b84a00",
    "one": "#0068a8",
    "two": "#b84a00",
    "three": "#00805c",
    "four": "#9c4f82",
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
    "base": "#a5acb4",
    "sft": "#5cb3ea",
    "ppo": "#f08a3c",
    "one": "#5cb3ea",
    "two": "#f08a3c",
    "three": "#3fc298",
    "four": "#d79bc2",
}

DASHES = {
    "base": "2 3",
    "sft": "6 3",
    "ppo": "none",
    "one": "none",
    "two": "6 3",
    "three": "2 3",
    "four": "8 3 2 3",
}
MARKERS = {
    "base": "circle",
    "sft": "square",
    "ppo": "diamond",
    "one": "circle",
    "two": "diamond",
    "three": "square",
    "four": "triangle",
}


def css_variables() -> str:
    """The theme as CSS custom properties: light, dark where the reader's system says so, light on paper."""
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
    return f"{light}\n{dark}"


def _declared(values: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())
