"""The rating page: the next prompt, its responses, the ranking; then the next one.

Every change is kept as a draft within half a second, so that a closed browser loses nothing. Each act
asks anew whether the session holds: an account that was closed a minute ago submits nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from nicegui import Client, html, ui

from tutelage.core.errors import TutelageError
from tutelage.preferences.accounts import Rater
from tutelage.preferences.desk import Submitted, Task
from tutelage.store import rounds
from tutelage.web import blind
from tutelage.web.doors import RATING, SIGN_IN
from tutelage.web.limits import SUBMIT
from tutelage.web.pages.frame import BUILD_SECONDS, bar, head
from tutelage.web.site import Site
from tutelage.web.widgets.details import Details
from tutelage.web.widgets.dialogs import guidelines_beside, keys_explained, opens, problem_form
from tutelage.web.widgets.feedback import explain
from tutelage.web.widgets.places import Places
from tutelage.web.widgets.ranking import RankingWidget
from tutelage.web.widgets.words import Words

SAVE_AFTER = 0.4
"""Seconds of quiet after which a draft is kept."""


def mount() -> None:
    """Put the page at `/rate`."""

    @ui.page("/rate", title="Rate", language="en-GB", dark=None, response_timeout=BUILD_SECONDS)
    async def rate(request: Request, client: Client) -> None:
        page = RatePage(client, request.state.site, request.state.rater, request.state.session)
        await page.open()
        client.on_disconnect(page.save)


class RatePage:
    """One open tab."""

    def __init__(self, client: Client, site: Site, rater: Rater, session: str) -> None:
        self.client, self.site, self.rater, self.session = client, site, rater, session
        self.task: Task | None = None
        self._last: tuple[str, dict[str, Any]] = ("", {})
        self._seconds = 0.0
        self._busy = False
        self._saving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Build the page with the rater's next prompt."""
        head("Rate", "rate.js")
        ui.on("press", lambda e: self._press(e.args))
        ui.on("finish", lambda e: self.submit(e.args))
        ui.on("tick", lambda e: self._tick(e.args))
        with bar(self.site.name, self.rater, self.session, "rate"):
            guidelines = html.button("Guidelines", type="button").classes("plain")
            keys = html.button("Keys", type="button").classes("plain")
        self._bar = html.progress(max=1, value=0, **{"aria-label": "Prompts done"}).classes("progress")
        opens(guidelines, guidelines_beside(self.site.guidelines, self.site.version))
        opens(keys, keys_explained())
        self._problem = problem_form(self._report)
        self._root = html.div()
        await self._next(quietly=True)

    async def _next(self, quietly: bool = False) -> None:
        if not await self._signed_in():
            return
        try:
            task = await asyncio.to_thread(self.site.desk.next, self.rater)
        except TutelageError as problem:
            self._root.clear()
            with self._root, html.div().classes("column-page"):
                html.p(str(problem), role="alert").classes("alert")
            return
        if task is None:
            self.client.open("/done")
        else:
            self._show(task, quietly)

    def _show(self, task: Task, quietly: bool = False) -> None:
        self.task = task
        # What was undone comes back as it was handed in, if it was handed in here.
        draft = dict(task.draft or (self._last[1] if self._last[0] == task.id else {}))
        seen = blind.shown(task)
        texts = {r["key"]: r["text"] for r in seen.responses}
        places = Places.read(list(texts), draft.get("places"))
        self._seconds = 0.0
        self._tick(draft.get("seconds"))
        self.widget = RankingWidget(texts, places, self._changed)
        self.details = Details(draft, self._changed)
        self._bar.props.update(max=max(1, seen.to_do), value=seen.done)
        self._root.clear()
        with self._root, html.div().classes("rate pair" if self.widget.side_by_side else "rate"):
            self._reading(seen)
            self._panel(seen)
        with self._root, html.div().classes("foot"):
            self._line = Words("span").classes("line")
            to_panel = html.button("To the ranking", type="button").classes("button")
            to_panel.on("click", js_handler='() => document.getElementById("panel").scrollIntoView()')
        self._refresh()
        self.client.run_javascript(f"tutelage.begin({int(self._seconds)}, {str(quietly).lower()})")

    def _reading(self, seen: blind.Shown) -> None:
        with html.div().classes("reading"):
            if seen.kind == "calibration":
                with html.div().classes("banner"):
                    html.strong(f"Practice {seen.done + 1} of {self.site.desk.settings.calibration}.")
                    html.span(" Afterwards you see what was expected, and why.")
            with html.div(id="prompt", tabindex="-1").classes("conversation"):
                *earlier, asked = seen.conversation or [{"role": "user", "content": ""}]
                for turn in earlier:
                    _turn(turn, "earlier")
                html.h1("Prompt").classes("hidden-text")
                _turn(asked, "asked")
            self.widget.cards(self.details.scores_of)

    def _panel(self, seen: blind.Shown) -> None:
        with html.div(id="panel").classes("panel"):
            self.widget.panel()
            self.details.fields(learnt_from=self.task is None or self.task.kind != rounds.KIND)
            with html.section().classes("last"):
                self._alert = Words("div", role="alert").classes("alert")
                with html.div().classes("finish"):
                    self._submit = Words("button", "Submit ranking", type="button").classes("button first")
                    self._submit.on(
                        "click", lambda e: self.submit(e.args), js_handler="() => emit(tutelage.seconds())"
                    )
                    if seen.done:
                        html.button("Undo last", type="button").classes("button").on("click", self.undo)
                with html.p().classes("hint"):
                    self._note = Words("span")
                    html.span("Ctrl + Enter submits.").classes("for-keys")
                with html.p().classes("hint"):
                    html.span(f"{seen.done} of {seen.to_do} done. ")
                    report = html.button("Report a problem", type="button").classes("plain small")
            opens(report, self._problem)

    def _changed(self) -> None:
        self._refresh()
        if self._saving is not None:
            self._saving.cancel()
        self._saving = asyncio.create_task(self._save_soon())

    def _refresh(self) -> None:
        places, outcome = self.widget.places, self.details.outcome
        left = len(places.unplaced)
        partial = outcome == "ranked" and left and places.ranked
        self._note.text = (f"{left} without a place: not judged. " if partial else "") + "Kept as you go. "
        self._submit.text = "Submit without a ranking" if outcome == "cannot-judge" else "Submit ranking"
        self._line.text = self.widget.summary or "Nothing placed yet"

    async def _save_soon(self) -> None:
        await asyncio.sleep(SAVE_AFTER)
        await self.save()

    async def save(self) -> None:
        """Keep the draft."""
        task, content = self.task, self._content() if self.task else {}
        if task is None or self._busy or not await self._signed_in():
            return
        try:
            await asyncio.to_thread(self.site.desk.save_draft, task.id, self.rater, content)
        except TutelageError as problem:
            self._say(str(problem))

    def _content(self) -> dict[str, Any]:
        """The state of the page, as a draft keeps it."""
        places = dict(self.widget.places.given)
        return {"places": places, "seconds": self._seconds, **self.details.plain()}

    def _press(self, said: Any) -> None:
        if isinstance(said, dict) and self.task is not None:
            self.widget.press(str(said.get("key")), str(said.get("press")))

    def _tick(self, seconds: Any) -> None:
        if isinstance(seconds, (int, float)) and 0 <= seconds <= 86_400:
            self._seconds = float(seconds)

    async def submit(self, seconds: Any = None) -> None:
        """Hand the ranking in, and go on to what comes next."""
        if self._busy or self.task is None:
            return
        self._tick(seconds)
        groups = self.widget.places.groups
        if self.details.outcome == "ranked" and sum(map(len, groups)) < 2:
            self._say("Give at least two responses a place, or put all others below or above the one.")
            return
        self._busy = True
        if self._saving is not None:
            self._saving.cancel()
        self._submit.props["disabled"] = True
        try:
            if await self._allowed():
                await self._hand_in(self.task, groups)
        except TutelageError as problem:
            self._say(str(problem))
        finally:
            self._busy = False
            if not self._submit.is_deleted:
                self._submit.props["disabled"] = False

    async def _hand_in(self, task: Task, groups: tuple[tuple[str, ...], ...]) -> None:
        ranking = groups if self.details.outcome != "cannot-judge" else ()
        given = blind.Given.model_validate(
            {**self.details.plain(), "ranking": ranking, "seconds": round(self._seconds, 1)}
        )
        answer = blind.answer(task.asked, given)
        submitted = await asyncio.to_thread(self.site.desk.submit, task.id, self.rater, answer)
        self.task, self._last = None, (task.id, self._content())
        if task.kind == "calibration":
            self._explain(task, submitted)
        else:
            await self._next()

    async def _signed_in(self) -> bool:
        rater = await asyncio.to_thread(self.site.accounts.who, self.session)
        if rater is None or rater.role not in RATING:
            self.client.open(f"{SIGN_IN}?next=/rate")
            return False
        return True

    async def _allowed(self) -> bool:
        if not await self._signed_in():
            return False
        if self.site.limiter.wait("submit", self.rater.id, SUBMIT):
            self._say("That was quick. Wait a moment, and submit again.")
            return False
        return True

    async def undo(self) -> None:
        """Open what was submitted last once more."""
        if not self._busy and await self._allowed():
            try:
                task = await asyncio.to_thread(self.site.desk.undo, self.rater)
            except TutelageError as problem:
                self._say(str(problem))
                return
            if task is not None:
                self._show(task)

    def _explain(self, task: Task, submitted: Submitted) -> None:
        self._root.clear()
        with self._root:
            explain(task, submitted, self.widget, self._next)
        self.client.run_javascript("tutelage.top('go-on')")

    async def _report(self, text: str) -> bool:
        if self.task is None or not await self._allowed():
            return False
        try:
            await asyncio.to_thread(self.site.desk.report_problem, self.task.id, self.rater, text)
        except TutelageError as problem:
            self._say(str(problem))
            return False
        return True

    def _say(self, sentence: str) -> None:
        self._alert.text = sentence[:1].upper() + sentence[1:]


def _turn(turn: dict[str, str], kind: str) -> None:
    names = {"user": "Asked", "assistant": "Answered", "system": "Instruction"}
    with html.div().classes(f"turn {kind}"):
        if kind == "earlier":
            html.span(names.get(turn["role"], turn["role"])).classes("by")
        html.span(turn["content"])
