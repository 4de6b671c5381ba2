"""Pages that are plain HTML: signing in, an invitation, the guidelines, a message.

They need no script and no websocket, so nothing of the pages' machinery runs for somebody who has not
signed in. Everything put into a template is escaped; Markdown is rendered with raw HTML switched off.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.responses import HTMLResponse

from tutelage.web.theme import ICON, STYLE, versioned


def page(template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """A template filled in."""
    return HTMLResponse(_templates().get_template(template).render(**values), status)


def message(sentence: str, status: int, then: str = "/", label: str = "To the start") -> HTMLResponse:
    """A page that says one thing, and where to go from there."""
    return page("message.html", status, sentence=sentence, then=then, label=label)


def markdown(text: str) -> Markup:
    """Markdown as HTML: raw HTML in it is shown as text, and links lead to http, https and mail alone."""
    return Markup(_markdown().render(text))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).disable("image")


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(style=versioned(STYLE), icon=ICON)
    return found
