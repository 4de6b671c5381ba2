"""After a practice prompt: what was expected, what the rater said, and why, by helpful, harmless and honest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import html

from tutelage.preferences.desk import Submitted, Task
from tutelage.web import blind
from tutelage.web.widgets.places import summary
from tutelage.web.widgets.ranking import RankingWidget

_NAMES = {"helpful": "Helpful", "harmless": "Harmless", "honest": "Honest"}


def explain(
    task: Task, submitted: Submitted, widget: RankingWidget, go_on: Callable[[], Awaitable[None]]
) -> None:
    """Show it in the current slot; the responses stand below, to be read again."""
    learnt = blind.result(task.asked, submitted)
    seen = blind.shown(task)
    with html.div().classes("column-page"):
        html.h1(_heading(learnt, widget), id="learnt", tabindex="-1")
        html.p(task.prompt.text).classes("note quiet")
        with html.dl().classes("explained"):
            html.dt("Expected")
            html.dd(" › ".join(" = ".join(g) for g in learnt["expected"])).classes("order")
            html.dt("You said")
            html.dd(summary(widget.places) or "no ranking").classes("order")
        if learnt["explanation"]:
            html.h2("Why")
            with html.dl().classes("explained"):
                for value, text in learnt["explanation"].items():
                    html.dt(_NAMES[value])
                    html.dd(text)
        button = html.button("Go on", type="button", id="go-on").classes("button first")
        button.on("click", go_on)
        with html.section().style("margin-top:40px"):
            html.h2("The responses once more")
            with html.ol().classes("responses").style("margin-top:16px"):
                for response in seen.responses:
                    with html.li().classes("response"):
                        html.span(f"Response {response['key']}").classes("letter")
                        html.div(response["text"]).classes("text")


def _heading(learnt: dict[str, Any], widget: RankingWidget) -> str:
    if [list(group) for group in widget.places.groups] == learnt["expected"]:
        return "Just as expected"
    return "Close to what was expected" if learnt["agreed"] else "Not quite as expected"
