"""How the pages look: the report's palette, type scale and spacing, and the one style sheet made of them.

The values live in `report/theme.py`, so a report and a page are one product; a colour is changed there.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tutelage.core.hashing import content_id
from tutelage.report.theme import css_variables

STATIC = Path(__file__).parent / "static"
STYLE = "style.css"
"""Its name under `/static`; the other files there are served as they lie in the folder."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3.5' fill='%230b5a8f'/%3E"
    "%3Cpath d='M4 5h8M4 8h6M4 11h4' stroke='%23fff' stroke-width='1.6' stroke-linecap='round'/%3E%3C/svg%3E"
)
"""Three lines in order: what a rater makes."""


@cache
def stylesheet() -> str:
    """The values and, after them, the rules that use them."""
    return f"{css_variables()}\n{(STATIC / STYLE).read_text(encoding='utf-8')}"


@cache
def versioned(name: str) -> str:
    """The address of a static file, with its content in it: a browser may keep it for good."""
    text = stylesheet() if name == STYLE else (STATIC / name).read_text(encoding="utf-8")
    return f"/static/{name}?v={content_id('static', text)}"
