"""What is asked next: what tells most first, a fair share drawn, more raters where they disagree, and a budget."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from math import log
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from tutelage.core.records import Artifact, Prompt, Response
from tutelage.core.settings import PeopleSettings
from tutelage.preferences.accounts import Accounts, Rater
from tutelage.preferences.asking import Active, AtRandom, is_drawn, openness
from tutelage.preferences.desk import Answer, Desk, Task
from tutelage.preferences.pool import Unit
from tutelage.preferences.queue import read_queue
from tutelage.preferences.wanted import Want, agreement_of
from tutelage.store import tables
from tutelage.store.asking import dealt_at_random, keep_scores
from tutelage.store.database import Database
from tutelage.store.records import Records

POLICY = Artifact("sft", {}, {}, 1, "0", finished="2026-01-01")
COUNT = 12
PROMPTS = [Prompt.of(f"Question {n}?", category="even" if n % 2 == 0 else "odd") for n in range(COUNT)]


def settings(**changed: object) -> PeopleSettings:
    return PeopleSettings.model_validate({"calibration": 0, "gold_rate": 0.0, "overlap": 1, **changed})


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with Database.open(database_url, tmp_path) as opened:
        records = Records(opened)
        records.artifacts.add([POLICY])
        records.prompts.add(PROMPTS)
        records.responses.add([Response(p.id, text, POLICY.id) for p in PROMPTS for text in ("a", "b", "c")])
        yield opened


@pytest.fixture
def people(database: Database) -> Callable[[str], Rater]:
    accounts = Accounts(database)
    accounts._hasher = type("Quick", (), {"hash": staticmethod(lambda password: password)})()  # type: ignore[assignment]
    return lambda name: accounts.accept(accounts.invite("rater"), name, "password")


def score(database: Database, width: Callable[[int], float]) -> None:
    """Two members who differ about the first response of prompt n by `width(n)`."""
    scores: dict[str, list[float]] = {}
    for n, prompt in enumerate(PROMPTS):
        for place, text in enumerate("abc"):
            apart = width(n) if place == 0 else 0.0
            scores[Response(prompt.id, text, POLICY.id).id] = [apart, -apart]
    with database.begin() as connection:
        keep_scores(connection, "reward", scores)


def do_all(desk: Desk, rater: Rater, upside_down: bool = False) -> list[Task]:
    tasks: list[Task] = []
    while (task := desk.next(rater)) is not None:
        order = sorted((r for r in task.responses), key=lambda r: r.text, reverse=upside_down)
        desk.submit(task.id, rater, Answer(tuple((r.id,) for r in order), seconds=30.0))
        tasks.append(task)
    return tasks


def dealt(database: Database) -> dict[str, str]:
    with database.read() as connection:
        t = tables.tasks.c
        return {row.prompt_id: row.dealt for row in connection.execute(select(t.prompt_id, t.dealt))}


def test_what_tells_most_is_asked_first(database: Database, people: Callable[[str], Rater]) -> None:
    score(database, lambda n: float(n))
    tasks = do_all(Desk(database, settings(random_share=0.0, topic_spread=0.0), seed=1), people("Ada"))
    assert [t.prompt.id for t in tasks] == [p.id for p in reversed(PROMPTS)]
    assert set(dealt(database).values()) == {"active"}


def test_topics_of_like_value_are_asked_by_turns(database: Database, people: Callable[[str], Rater]) -> None:
    score(database, lambda n: 2.0)
    desk = Desk(database, settings(random_share=0.0, topic_spread=1.0), seed=1)
    ada = people("Ada")
    seen: list[str] = []
    for _ in range(4):
        desk._dealer._read = -1e9  # as if a moment had passed
        task = desk.next(ada)
        assert task is not None
        seen.append(task.prompt.category)
        desk.submit(task.id, ada, Answer(tuple((r.id,) for r in task.responses)))
    assert Counter(seen) == {"even": 2, "odd": 2} and seen[0] != seen[1]


@pytest.mark.parametrize("choose", ["random", "active"])
def test_without_scores_or_by_the_recipe_all_are_drawn(
    database: Database, people: Callable[[str], Rater], choose: str
) -> None:
    if choose == "random":
        score(database, lambda n: float(n))
    tasks = do_all(Desk(database, settings(choose=choose), seed=1), people("Ada"))
    assert [t.prompt.id for t in tasks] != [p.id for p in reversed(PROMPTS)] and len(tasks) == COUNT
    assert set(dealt(database).values()) == {"random"}


def test_drawn_prompts_are_those_of_the_share_and_those_that_measure(
    database: Database, people: Callable[[str], Rater]
) -> None:
    score(database, lambda n: float(n))
    measuring = PROMPTS[3].id
    desk = Desk(database, settings(random_share=0.3), seed=1, measures=lambda p: p.id == measuring)
    do_all(desk, people("Ada"))
    share = {p.id for p in PROMPTS if is_drawn(p, 0.3)} | {measuring}
    assert {name for name, how in dealt(database).items() if how == "random"} == share
    assert 1 < len(share) < COUNT
    with database.read() as connection:
        kept = {j.id: j.prompt_id for j in Records(database).judgements.list()}
        assert {kept[i] for i in dealt_at_random(connection)} == share


def test_a_share_of_tasks_is_drawn() -> None:
    waiting = [Want(Unit(f"p{n}", ("x", "y"), f"u{n}"), 1) for n in range(1000)]
    drawn = frozenset(f"p{n}" for n in range(500))
    chooser = Active({f"p{n}": float(n) for n in range(1000)}, drawn, 0.3, 1)
    rng = random.Random(0)
    found = [chooser.choose(waiting, rng) for _ in range(3000)]
    assert sum(how == "random" for _, how in found) / 3000 == pytest.approx(0.3, abs=0.03)
    assert {want.prompt_id for want, how in found if how == "active"} == {"p999"}
    assert len({want.prompt_id for want, how in found if how == "random"}) > 400


def test_a_further_opinion_is_no_fair_draw() -> None:
    again = Want(Unit("p", ("x", "y"), "u"), 3, held=2, agreement=0.2)
    assert AtRandom(2).choose([again], random.Random(0))[1] == "active"
    assert (openness(again), openness(Want(again.unit, 2))) == (1.0, 1.0)
    assert openness(Want(again.unit, 3, 2, 0.9)) == pytest.approx(0.2)
    assert openness(Want(again.unit, 3, 1)) == 0.5


def test_more_raters_only_where_they_disagree(database: Database, people: Callable[[str], Rater]) -> None:
    desk = Desk(database, settings(overlap=2, max_overlap=3), seed=1)
    do_all(desk, people("Ada"))
    bob, cy, dan = people("Bob"), people("Cy"), people("Dan")
    contrary: set[str] = set()
    while (task := desk.next(bob)) is not None:
        if len(contrary) < 4:
            contrary.add(task.prompt.id)
        order = sorted(task.responses, key=lambda r: r.text, reverse=task.prompt.id in contrary)
        desk.submit(task.id, bob, Answer(tuple((r.id,) for r in order)))
    assert {t.prompt.id for t in do_all(desk, cy)} == contrary
    desk._dealer._read = -1e9
    assert do_all(desk, dan) == []


def test_agreement_by_hand() -> None:
    abc = (("a",), ("b",), ("c",))
    assert agreement_of([abc, abc]) == 1.0
    assert agreement_of([abc, (("c",), ("b",), ("a",))]) == 0.0
    assert agreement_of([abc, (("b",), ("a",), ("c",))]) == pytest.approx(2 / 3)
    assert agreement_of([abc, (("a",), ("b",))]) == 1.0  # one pair in common
    assert agreement_of([abc]) is None and agreement_of([abc, (("a",),)]) is None


def test_nothing_is_dealt_after_the_budget(database: Database, people: Callable[[str], Rater]) -> None:
    budget = settings(overlap=3, budget_judgements=5)
    desk = Desk(database, budget, seed=1)
    ada, bob = people("Ada"), people("Bob")
    assert len(do_all(desk, ada)) == 5 and desk.next(bob) is None
    assert desk.is_spent() and desk.progress(bob).to_do == 0 and read_queue(database, budget).spent
    desk.undo(ada)
    assert desk.next(bob) is None  # what was undone is open with its rater
    more = Desk(database, settings(overlap=3, budget_judgements=7), seed=1)
    assert not more.is_spent() and len(do_all(more, bob)) == 2


def test_minutes_are_a_budget_too(database: Database, people: Callable[[str], Rater]) -> None:
    desk = Desk(database, settings(budget_minutes=2.0), seed=1)
    assert len(do_all(desk, people("Ada"))) == 4  # half a minute each
    assert desk.is_spent()


def test_many_at_once_do_not_overdraw(database: Database, people: Callable[[str], Rater]) -> None:
    desk = Desk(database, settings(overlap=4, budget_judgements=9), seed=1)
    done: list[Task] = []
    raters = [people(f"R{n}") for n in range(5)]

    def work(rater: Rater) -> None:
        done.extend(do_all(desk, rater))

    threads = [threading.Thread(target=work, args=(rater,)) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 9 == Records(database).judgements.count()


def test_information_is_that_of_the_members(database: Database, people: Callable[[str], Rater]) -> None:
    """Two of three pairs hold the first response: 2/3 of the information of one such pair."""
    score(database, lambda n: log(3) / 2)  # so the two members' odds are root 3 to 1, either way
    desk = Desk(database, settings(random_share=0.0), seed=1)
    assert desk.next(people("Ada")) is not None
    (value,) = {round(v, 12) for v in desk._dealer._choosing._information.values() if v is not None}
    p = 3**0.5 / (1 + 3**0.5)
    wanted = 2 / 3 * (log(2) + p * log(p) + (1 - p) * log(1 - p))
    assert value == pytest.approx(wanted)


def test_fewer_at_most_than_at_least_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_overlap is below overlap"):
        settings(overlap=3, max_overlap=2)
