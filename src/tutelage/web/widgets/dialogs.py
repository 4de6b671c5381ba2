"""What lies beside the rating page until somebody asks for it: guidelines, keys, reporting a problem."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from nicegui import html, ui
from nicegui.events import GenericEventArguments

from tutelage.web.blind import LONGEST_TEXT
from tutelage.web.render import markdown
from tutelage.web.widgets.words import Words

_NOTED = "Thank you: it is noted. Go on with the prompt, or say that you cannot judge it."
_KEYS = (
    ("A … I", "go to that response"),
    ("1 … 9", "give the response you are on a place; the same place twice is a tie"),
    ("=", "tie it with the one above, or end its tie"),
    ("0 or Delete", "take its place back"),
    ("↑ ↓", "move a row of the ranking that you are on"),
    ("Ctrl + Enter", "submit"),
)


@contextmanager
def dialog(title: str, *, side: bool = False) -> Iterator[html.dialog]:
    """A native dialog: the browser keeps the focus in it, and Escape closes it."""
    with html.dialog(**{"aria-label": title}) as made:
        made.classes("side" if side else "")
        with html.div().classes("dialog-head"):
            html.h2(title)
            close = html.button("Close", type="button").classes("button")
            close.on("click", js_handler=f"() => getHtmlElement({made.id}).close()")
        yield made


def opens(button: html.button, shown: html.dialog) -> None:
    """Let a button open a dialog, without asking the server."""
    button.on("click", js_handler=f"() => getHtmlElement({shown.id}).showModal()")


def guidelines_beside(text: str, version: str) -> html.dialog:
    """The guidelines, beside the prompt that they are needed for."""
    with dialog("Guidelines", side=True) as shown:
        with html.div().classes("prose"):
            ui.html(str(markdown(text)), sanitize=True)
            html.p(f"Version {version}").classes("small")
    return shown


def keys_explained() -> html.dialog:
    """What each key does, and the switch that turns single letters off (WCAG 2.1.4)."""
    with dialog("Everything by keyboard") as shown:
        with html.dl().classes("keys"):
            for key, means in _KEYS:
                with html.dt():
                    html.kbd(key)
                html.dd(means)
        html.p("So B 1 D 2 A 2 C 3 ranks four responses: B first, D and A tied, C last.").classes("note")
        with html.label(**{"for": "keys-on"}).classes("check"):
            html.input_(type="checkbox", id="keys-on", checked=True)
            html.span("Letters and numbers work as keys in this browser")
    return shown


def problem_form(report: Callable[[str], Awaitable[bool]]) -> html.dialog:
    """Say what is wrong with a prompt; `report` keeps it and says whether it could."""
    with dialog("Report a problem") as shown:
        asks = html.label("What is wrong with this prompt or a response?")
        area = html.textarea("", rows=4, maxlength=LONGEST_TEXT)
        asks.props["for"] = area.html_id
        send = html.button("Send", type="button").classes("button first").style("margin-top:16px")
        noted = Words("p", role="status").classes("hint")

        async def sent(event: GenericEventArguments) -> None:
            text = str(event.args or "").strip()[:LONGEST_TEXT]
            if text and await report(text):
                noted.text = _NOTED
                shown.client.run_javascript(f"getHtmlElement({area.id}).value = ''")

        area.on("input", lambda: noted.set_text(""), throttle=1.0)
        send.on("click", sent, js_handler=f"() => emit(getHtmlElement({area.id}).value)")
    return shown
