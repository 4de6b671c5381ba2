"""What every page with a websocket has around it: the style sheet, the bar on top."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import html, ui

from tutelage.preferences.accounts import Rater
from tutelage.web.doors import LOOKING, RATING
from tutelage.web.shield import csrf_of
from tutelage.web.theme import STYLE, versioned

BUILD_SECONDS = 30.0
"""How long a page may take to be built. NiceGUI gives up after 3 s, which a machine that trains meanwhile needs."""


def head(title: str, *scripts: str) -> None:
    """The page's title, its style, and scripts of ours by file name."""
    ui.page_title(f"{title} · Tutelage")
    ui.add_head_html(f'<link rel="stylesheet" href="{versioned(STYLE)}">')
    for name in scripts:
        ui.add_head_html(f'<script src="{versioned(name)}" defer></script>')


@contextmanager
def bar(project: str, rater: Rater, session: str, here: str) -> Iterator[None]:
    """The bar on top: where one is, where one can go, who one is. The body adds what the page itself offers."""
    with html.div().classes("bar"):
        html.a(project, href="/").classes("brand")
        html.span().classes("space")
        with html.nav(**{"aria-label": "Pages"}):
            yield
            if rater.role in RATING and here != "rate":
                html.a("Rate", href="/rate")
            if rater.role in LOOKING and here != "overview":
                html.a("Overview", href="/overview")
            if rater.role in LOOKING:
                html.a("Evaluation", href="/evaluation")
        html.span(rater.name).classes("who")
        with html.form(method="post", action="/sign-out"):
            html.input_(type="hidden", name="csrf", value=csrf_of(session))
            html.button("Sign out", type="submit").classes("plain")
