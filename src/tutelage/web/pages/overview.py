"""The owner's page: what waits, at what pace, who works, and invitations. It looks again by itself.

Left out for now: agreement, coverage by topic, cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from fastapi import Request
from nicegui import html, ui

from tutelage.core.errors import TutelageError
from tutelage.preferences.accounts import Rater
from tutelage.preferences.queue import Queue, RaterRow
from tutelage.web.doors import LOOKING, OWNING, SIGN_IN
from tutelage.web.pages.frame import BUILD_SECONDS, bar, head
from tutelage.web.site import Site
from tutelage.web.widgets.inviting import Inviting
from tutelage.web.widgets.pace import pace_chart

LOOK_EVERY = 10.0
"""Seconds between two looks at the database."""


def mount() -> None:
    """Put the page at `/overview`."""

    @ui.page("/overview", title="Overview", language="en-GB", dark=None, response_timeout=BUILD_SECONDS)
    async def overview(request: Request) -> None:
        page = OverviewPage(request.state.site, request.state.rater, request.state.session)
        await page.open(str(request.base_url))


class OverviewPage:
    """One open tab."""

    def __init__(self, site: Site, rater: Rater, session: str) -> None:
        self.site, self.rater, self.session = site, rater, session
        self._shown: Queue | None = None

    async def open(self, address: str) -> None:
        """Build the page; what changes is in `_figures` and `_raters`, and is built anew when it does."""
        head("Overview")
        with bar(self.site.name, self.rater, self.session, "overview"):
            html.a("Guidelines", href="/guidelines")
        with html.div().classes("overview"):
            html.h1("Rating")
            self._figures = html.div()
            with html.section():
                html.h2("Raters")
                self._raters = html.div().classes("scroll")
                self._raters.props.update(tabindex="0", role="region", **{"aria-label": "Raters"})
            if self.rater.role in OWNING:
                Inviting(self.site, self._owns, address)
        await self._look()
        ui.timer(LOOK_EVERY, self._look)

    async def _look(self) -> None:
        if not await self._may(LOOKING):
            return
        queue = await asyncio.to_thread(self.site.queue)
        if queue == self._shown:
            return
        self._shown = queue
        self._figures.clear()
        with self._figures:
            html.p(" ".join(sentences(queue))).classes("answer")
            with html.dl().classes("figures"):
                for name, value, within in figures(queue):
                    with html.div():
                        html.dt(name)
                        with html.dd(value):
                            html.span(within).classes("within")
            with html.section():
                html.h2("Rankings a day")
                if any(count for _, count in queue.days):
                    ui.html(pace_chart(queue.days), sanitize=False)
                    html.p("Of the last 14 days (UTC), without practice and what was undone.").classes(
                        "small"
                    )
                else:
                    html.p("None in the last 14 days.").classes("quiet")
        self._raters.clear()
        with self._raters:
            self._table(queue.raters)

    def _table(self, rows: Sequence[RaterRow]) -> None:
        if not rows:
            html.p("Nobody yet.").classes("quiet")
            return
        with html.table():
            with html.thead(), html.tr():
                for name in ("Name", "Role", "Groups"):
                    html.th(name, scope="col")
                for name in ("Practice", "Gold", "Rankings", "Median time", "Last"):
                    html.th(name, scope="col").classes("num")
                with html.th(scope="col"):
                    html.span("Actions").classes("hidden-text")
            with html.tbody():
                for row in rows:
                    self._row(row)

    def _row(self, row: RaterRow) -> None:
        person = row.rater
        with html.tr():
            html.th(person.name, scope="row")
            html.td(person.role if person.active else f"{person.role}, closed")
            html.td(", ".join(f"{k}: {v}" for k, v in person.groups.items()) or "–").classes("quiet")
            html.td(share(*row.practice)).classes("num")
            html.td(share(*row.gold)).classes("num")
            html.td(str(row.rankings)).classes("num")
            html.td(duration(row.median_seconds)).classes("num")
            html.td(ago(row.last)).classes("num")
            with html.td().classes("num"):
                if self.rater.role in OWNING and person.active and person.id != self.rater.id:
                    close = html.button("Close", type="button").classes("plain")
                    close.props["aria-label"] = f"Close the account of {person.name}"
                    close.on("click", lambda: self._close(person))

    async def _close(self, person: Rater) -> None:
        if await self._owns():
            try:
                await asyncio.to_thread(self.site.accounts.deactivate, person.id)
            except TutelageError as problem:
                ui.notify(str(problem))
            await self._look()

    async def _owns(self) -> bool:
        return await self._may(OWNING)

    async def _may(self, roles: frozenset[str]) -> bool:
        rater = await asyncio.to_thread(self.site.accounts.who, self.session)
        if rater is None or rater.role not in roles:
            ui.navigate.to(f"{SIGN_IN}?next=/overview")
            return False
        return True


def sentences(queue: Queue) -> list[str]:
    """What an owner wants to know first: the open problem, or that there is none."""
    if not queue.prompts:
        return ["No prompt has responses to rank yet: run `tutelage run --to sample`."]
    waiting = queue.prompts - queue.ready
    if not waiting:
        return [f"All {queue.prompts} prompts have their rankings. `tutelage run` learns from them."]
    said = [f"{waiting} of {queue.prompts} prompts still want rankings."]
    if queue.spent:
        said.append("The budget is used up: raise people.budget_judgements or budget_minutes to go on.")
        return said
    workers = [row for row in queue.raters if row.rater.active and row.rater.role != "viewer"]
    if not any(row.rankings for row in queue.raters):
        few = len(workers) < 2
        said.append("Nobody has begun yet: invite raters below." if few else "Nobody has begun yet.")
    elif queue.median_seconds and queue.missing:
        said.append(
            f"That is about {duration(queue.missing * queue.median_seconds)} of work at the pace so far."
        )
    return said


def figures(queue: Queue) -> list[tuple[str, str, str]]:
    """Name, value, and what stands under it."""
    active = sum(row.rater.active for row in queue.raters)
    return [
        ("Prompts with their rankings", f"{queue.ready} of {queue.prompts}", f"{queue.overlap} raters each"),
        ("Rankings", str(queue.rankings), f"{queue.missing} still wanted"),
        ("Median time", duration(queue.median_seconds), "of a ranking"),
        ("Raters", str(active), f"{queue.open_tasks} at work now, or stopped half-way"),
    ]


def share(agreed: int, of: int) -> str:
    """`7 of 8`, or a dash."""
    return f"{agreed} of {of}" if of else "–"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 45 s, 3 min, 2 h 10 min."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def ago(when: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in one unit."""
    if when is None:
        return "–"
    passed = (now or datetime.now(UTC)) - when
    if passed < timedelta(minutes=2):
        return "now"
    if passed < timedelta(hours=2):
        return f"{passed // timedelta(minutes=1)} min ago"
    if passed < timedelta(days=2):
        return f"{passed // timedelta(hours=1)} h ago"
    return f"{passed.days} days ago"
