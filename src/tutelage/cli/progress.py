"""How a run looks: bars on a terminal, plain lines elsewhere, JSON lines on request; and what came out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import (
    Pace,
    Plain,
    Reporter,
    Silent,
    StageNews,
    finish_text,
    headline,
    progress_text,
)
from tutelage.pipeline.run import Outcome
from tutelage.pipeline.table import duration, summary_table


@contextmanager
def reporting(style: str | None) -> Iterator[Reporter]:
    """The reporter for a style: `plain`, `json`, or None for what suits where standard error goes."""
    if style == "json":
        yield JsonLines()
    elif style == "plain" or not sys.stderr.isatty():
        yield Plain(lambda text: click.echo(text, err=True))
    else:
        with Live() as live:
            yield live


class JsonLines(Silent):
    """One JSON object a line on standard output: `{"event": "progress", "stage": "sft", ...}`."""

    def __init__(self) -> None:
        self._pace = Pace()

    def started(self, news: StageNews) -> None:
        self._pace = Pace()
        _emit(
            "started",
            news.stage,
            place=news.place,
            total=news.total,
            expected_seconds=news.expected,
            resumed=news.resumed,
        )

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None:
        _emit("metrics", stage, step=step, values=values)

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        left = self._pace.left(done, total)
        _emit("progress", stage, done=done, total=total, rate=rate, unit=unit, seconds_left=left, note=note)

    def finished(self, stage: str, seconds: float, metrics: Mapping[str, Any]) -> None:
        _emit("finished", stage, seconds=seconds, metrics=dict(metrics))

    def kept(self, stage: str) -> None:
        _emit("kept", stage)

    def said(self, stage: str, text: str) -> None:
        _emit("said", stage, text=text)


class Live(Silent):
    """A bar for the stage at work, and a line for each that ended. Colours go by NO_COLOR."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console(stderr=True, highlight=False)
        columns = (
            TextColumn("  {task.description:<10}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[text]}"),
        )
        self._bars = Progress(*columns, console=self._console, transient=True)
        self._task: Any = None
        self._pace = Pace()

    def __enter__(self) -> Live:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def started(self, news: StageNews) -> None:
        self._print(headline(news))
        self._pace = Pace()
        self._task = self._bars.add_task(news.stage, total=None, text="")

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        if self._task is None:
            return
        text = progress_text(done, total, rate, unit, self._pace.left(done, total), note)
        self._bars.update(self._task, completed=done, total=total, text=text)

    def finished(self, stage: str, seconds: float, metrics: Mapping[str, Any]) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        self._print(f"  {stage}: {finish_text(seconds, metrics)}")

    def kept(self, stage: str) -> None:
        self._print(f"{stage}: done already")

    def said(self, stage: str, text: str) -> None:
        self._print(f"  {stage}: {text}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)


def show_outcome(project: Project, outcome: Outcome, style: str | None, stage: str | None = None) -> None:
    """What came out: the closing table and the report's path after the last stages, else the folder."""
    table = summary_table(outcome.summary())
    page = project.report_page if "report" in outcome.artifacts and project.report_page.exists() else None
    if style == "json":
        folders = {name: str(found.folder) for name, found in outcome.artifacts.items()}
        report = None if page is None else str(page)
        click.echo(json.dumps({"event": "done", "ran": outcome.ran, "artifacts": folders, "report": report}))
        return
    if table:
        click.echo("\n" + "\n".join(table) + "\n")
    what = f"ran {', '.join(outcome.ran)} in {duration(outcome.seconds)}" if outcome.ran else "nothing to do"
    click.echo(what)
    last = outcome.artifacts[stage or list(outcome.artifacts)[-1]]
    click.echo(f"report: {page}" if page is not None else f"in {last.folder}")


def _emit(event: str, stage: str, **values: Any) -> None:
    from tutelage.store.artifacts import plain

    click.echo(json.dumps({"event": event, "stage": stage, **plain(values)}))
