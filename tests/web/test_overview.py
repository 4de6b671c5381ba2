"""What the owner reads: sentences, figures, the chart, and the same for Prometheus."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from tutelage.preferences.accounts import Rater
from tutelage.preferences.queue import Queue, RaterRow
from tutelage.web.health import exposition
from tutelage.web.pages.overview import ago, duration, figures, sentences, share
from tutelage.web.widgets.pace import HEIGHT, pace_chart

ADA = Rater("1", "Ada", "rater")
OLGA = Rater("2", "Olga", "owner")
DAYS = tuple((date(2026, 1, day), count) for day, count in ((1, 0), (2, 4), (3, 8)))
QUEUE = Queue(
    prompts=60,
    ready=21,
    overlap=2,
    rankings=47,
    missing=73,
    open_tasks=3,
    median_seconds=84.0,
    days=DAYS,
    raters=(RaterRow(OLGA), RaterRow(ADA, rankings=47)),
)


def test_the_open_problem_comes_first() -> None:
    # 73 rankings of 84 s are 6,132 s: 102 minutes.
    assert sentences(QUEUE) == [
        "39 of 60 prompts still want rankings.",
        "That is about 1 h 42 min of work at the pace so far.",
    ]
    idle = replace(QUEUE, rankings=0, median_seconds=None, raters=(RaterRow(OLGA),))
    assert sentences(idle)[1] == "Nobody has begun yet: invite raters below."
    assert "have their rankings" in sentences(replace(QUEUE, ready=60, missing=0))[0]
    assert "tutelage run --to sample" in sentences(replace(QUEUE, prompts=0, ready=0))[0]


def test_figures_name_what_they_count() -> None:
    assert ("Prompts with their rankings", "21 of 60", "2 raters each") in figures(QUEUE)
    closed = replace(QUEUE, raters=(RaterRow(OLGA), RaterRow(replace(ADA, active=False))))
    assert ("Raters", "1") in [(name, value) for name, value, _ in figures(closed)]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0, "0 s"),
        (45.4, "45 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5340, "89 min"),
        (6132, "1 h 42 min"),
    ],
)
def test_durations_as_people_say_them(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_how_long_ago() -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    told = [ago(now - timedelta(minutes=m), now) for m in (1, 3, 119, 180, 2880, 7200)]
    assert told == ["now", "3 min ago", "119 min ago", "3 h ago", "2 days ago", "5 days ago"]
    assert ago(None) == share(0, 0) == "–"


def test_bars_are_as_tall_as_their_numbers() -> None:
    drawn = pace_chart(DAYS)
    tall = [float(h) for h in re.findall(r'<rect[^>]* height="([\d.]+)"', drawn)]
    assert tall == [(HEIGHT - 20) / 2, HEIGHT - 20]
    assert "12 rankings in 3 days, 8 on the busiest" in drawn and "3 Jan" in drawn


def test_every_metric_has_help_type_and_one_number() -> None:
    lines = exposition(QUEUE).splitlines()
    for helped, typed, value in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name, number = value.split()
        assert helped.startswith(f"# HELP {name} ") and typed == f"# TYPE {name} gauge"
        assert float(number) >= 0
    assert "tutelage_judgements 47" in lines and "tutelage_prompts_ready 21" in lines
    assert "Ada" not in exposition(QUEUE)
