"""`python -m benchmarks.screenshots`: the two pictures of the pages in the README, from the pages as they are.

A project of shipped prompts with two weeks of made-up work: raters of different pace, a queue half done.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.claims.people.intrusion.scene import Scene, served, shipped
from benchmarks.claims.people.intrusion.scripts import Watcher, browser

if TYPE_CHECKING:
    from tutelage.preferences.accounts import Rater

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
RATERS = {
    "Ada": ({"region": "north"}, 23, 70),
    "Bilal": ({"region": "south"}, 21, 48),
    "Chiara": ({"region": "north"}, 17, 95),
    "Dai": ({"region": "south"}, 9, 62),
    "Emre": ({"region": "south"}, 4, 81),
}
"""Groups, rankings made, and seconds that one takes."""
PROMPTS, OVERLAP, DAYS = 36, 3, 13


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    asked = [(row["prompt"], row["responses"]) for row in shipped("helpful")[:PROMPTS]]
    with served("screenshots", asked, practice=2, overlap=OVERLAP) as scene, browser() as opened:
        for name, (groups, rankings, seconds) in RATERS.items():
            scene.join(name=name, groups=groups)
            work(scene, name, rankings, seconds)
        rate(Watcher(opened, scene, scene.join(name="Farah").session, viewport=SIZE), scene)
        overview(Watcher(opened, scene, scene.join("owner", "Olga").session, viewport=SIZE))
    print(f"written: {IMAGES / 'rate.png'}, {IMAGES / 'overview.png'}", file=sys.stderr)


def work(scene: Scene, name: str, rankings: int, seconds: float) -> None:
    """Let a rater practise and rank over two weeks: mostly the good first, and on some days more than on others."""
    draw = random.Random(name)
    rater = scene.people.accounts.named(name)
    for _ in range(2 + rankings):
        if not _answer(scene, rater, draw, seconds):
            break
    _spread(scene, rater, draw)


def _answer(scene: Scene, rater: Rater, draw: random.Random, seconds: float) -> bool:
    from tutelage.preferences.desk import Answer

    task = scene.people.desk.next(rater)
    if task is None:
        return False
    # Long answers are mostly the good ones in the shipped rankings.
    order = sorted(task.responses, key=lambda r: len(r.text) + draw.gauss(0, 60), reverse=True)
    ranking = tuple((response.id,) for response in order)
    if task.kind == "calibration" and draw.random() < 0.8:
        ranking = _expected(scene, [response.id for response in task.responses])
    took = round(seconds * draw.lognormvariate(0, 0.3), 1)
    scene.people.desk.submit(task.id, rater, Answer(ranking, seconds=took))
    return True


def _expected(scene: Scene, responses: list[str]) -> tuple[tuple[str, ...], ...]:
    """What is expected of a practice prompt."""
    from tutelage.store.people import gold_of, unit_id

    with scene.people.database.read() as connection:
        return tuple(tuple(group) for group in gold_of(connection)[unit_id(responses)].expected)


def _spread(scene: Scene, rater: Rater, draw: random.Random) -> None:
    from sqlalchemy import select, update

    from tutelage.store import tables

    t = tables.tasks.c
    with scene.people.database.begin() as connection:
        mine = list(connection.scalars(select(t.id).where(t.rater_id == rater.id).order_by(t.finished)))
        back = sorted((draw.triangular(0, DAYS, 3) for _ in mine), reverse=True)
        for task, days in zip(mine, back, strict=True):
            when = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
            connection.execute(update(tables.tasks).where(t.id == task).values(finished=when))


def rate(watcher: Watcher, scene: Scene) -> None:
    """A ranking that is partly made: the best first, two tied behind it, one without a place, and why."""
    farah = scene.people.accounts.named("Farah")
    for _ in range(2):
        _answer(scene, farah, random.Random(0), 60)
    page = watcher.go("/rate").page
    page.locator(".response").first.wait_for()
    page.wait_for_function("window.did_handshake && !!document.querySelector('.row')")
    texts = page.locator(".response .text").all_inner_texts()
    row = next(row for row in shipped("helpful") if set(row["responses"]) == set(texts))
    order = [row["responses"][n] for group in row["ranking"] for n in group]
    for text, place in zip(order, (1, 2, 2)):
        page.keyboard.type(f"{'abcdefghi'[texts.index(text)]}{place}")
    page.locator("#text-reason").fill(row["reason"].split(". ")[0].rstrip(".") + ".")
    page.locator("#text-reason").blur()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / "rate.png")


def overview(watcher: Watcher) -> None:
    page = watcher.go("/overview").page
    page.get_by_role("table").wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / "overview.png")


if __name__ == "__main__":
    main()
