"""The desk: what is asked of whom, what becomes of an answer, and that nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tutelage.core.errors import DataError, StoreError
from tutelage.core.records import Artifact, Prompt, Response
from tutelage.core.settings import PeopleSettings
from tutelage.preferences.accounts import Accounts, Rater
from tutelage.preferences.desk import Answer, Desk, Task
from tutelage.preferences.gold import SPLIT, agreement_with, agrees, shipped_gold
from tutelage.preferences.queue import read_queue
from tutelage.store import tables
from tutelage.store.database import Database
from tutelage.store.people import DEEPEST, claim_unit, given_to_runs, judgements_of
from tutelage.store.records import Records, stamp

ROOT = Path(__file__).parents[2]
POLICY = Artifact("sft", {}, {}, 1, "0", finished="2026-01-01")
NO_PRACTICE = PeopleSettings(calibration=0, gold_rate=0.0, overlap=2)
People = Callable[[str], Rater]


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with Database.open(database_url, tmp_path) as opened:
        fill(opened, 5)
        yield opened


def fill(database: Database, count: int) -> None:
    records = Records(database)
    records.artifacts.add([POLICY])
    for n in range(count):
        prompt = Prompt.of(f"Question {n}?", source="test")
        records.prompts.add([prompt])
        records.responses.add([Response(prompt.id, f"{n}, answer {k}", POLICY.id) for k in range(4)])
    alone = Prompt.of("One answer only?")
    imported = Prompt.of("Answers by nobody here?")
    records.prompts.add([alone, imported])
    records.responses.add([Response(alone.id, "yes", POLICY.id)])
    records.responses.add([Response(imported.id, text, "authors") for text in ("a", "b", "c")])


@pytest.fixture
def people(database: Database) -> People:
    accounts = Accounts(database)
    accounts._hasher = type("Quick", (), {"hash": staticmethod(lambda password: password)})()  # type: ignore[assignment]
    return lambda name: accounts.accept(accounts.invite("rater"), name, "password")


def as_shown(task: Task) -> Answer:
    return Answer(tuple((r.id,) for r in task.responses), seconds=2.0)


def do_all(desk: Desk, rater: Rater) -> list[Task]:
    tasks: list[Task] = []
    while (task := desk.next(rater)) is not None:
        desk.submit(task.id, rater, as_shown(task))
        tasks.append(task)
    return tasks


def test_every_prompt_with_several_sampled_responses_is_asked_once(
    database: Database, people: People
) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    tasks = do_all(desk, people("Ada"))
    assert Counter(t.prompt.text for t in tasks) == Counter(f"Question {n}?" for n in range(5))
    assert [t.done for t in tasks] == [0, 1, 2, 3, 4] and {t.to_do for t in tasks} == {5}


def test_no_more_raters_than_wanted(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    assert [len(do_all(desk, people(name))) for name in ("Ada", "Bob", "Cy")] == [5, 5, 0]


def test_orders_are_each_raters_own_and_stay(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada, bob = people("Ada"), people("Bob")
    first = desk.next(ada)
    assert first is not None and desk.next(ada) == first
    desk.submit(first.id, ada, as_shown(first))
    orders = [
        {t.prompt.id: [r.id for r in t.responses] for t in [*done, *do_all(desk, who)]}
        for who, done in ((ada, [first]), (bob, []))
    ]
    assert orders[0].keys() == orders[1].keys() and orders[0] != orders[1]
    assert all(sorted(orders[0][p]) == sorted(orders[1][p]) for p in orders[0])


def test_a_ranking_becomes_a_judgement_with_all_that_was_said(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1, guideline=lambda: "v1")
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    a, b, c, _ = (r.id for r in task.responses)
    answer = Answer(((b,), (a, c)), scores={a: {"helpful": 3}}, reason="shorter", better="Mine.", seconds=9.5)
    kept = Records(database).judgements.get(desk.submit(task.id, ada, answer).judgement or "")
    assert kept is not None and kept.shown == tuple(r.id for r in task.responses)
    assert (kept.ranking, kept.rater, kept.kind, kept.guideline) == (((b,), (a, c)), "Ada", "person", "v1")
    assert (kept.reason, kept.scores, kept.seconds) == ("shorter", {a: {"helpful": 3}}, 9.5)
    (mine,) = Records(database).demonstrations.list(author="Ada")
    assert mine.response == "Mine." and mine.prompt.id == task.prompt.id


def test_cannot_judge_is_an_answer_and_no_judgement(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    assert desk.submit(task.id, ada, Answer(outcome="cannot-judge")).judgement is None
    again = desk.next(ada)
    assert again is not None and again.prompt != task.prompt


def test_who_cannot_judge_has_ranked_nothing(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    half_done = replace(as_shown(task), outcome="cannot-judge")
    assert desk.submit(task.id, ada, half_done).judgement is None
    assert Records(database).judgements.count() == 0


def test_new_responses_to_a_prompt_are_new_work(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    do_all(desk, ada)
    later = Artifact("sft", {}, {}, 2, "0", finished="2026-02-01")
    records = Records(database)
    prompt = Prompt.of("Question 0?")
    records.responses.add([Response(prompt.id, f"a later answer {k}", later.id) for k in range(12)])
    assert desk.next(ada) is None  # its stage has not ended
    records.artifacts.add([later])
    (task,) = do_all(desk, ada)
    assert task.prompt.id == prompt.id and len(task.responses) == 9
    assert all(r.policy == later.id for r in task.responses)
    assert Records(database).judgements.count() == 6


def test_what_was_left_lying_goes_to_somebody_else(database: Database, people: People) -> None:
    desk = Desk(database, PeopleSettings(calibration=0, gold_rate=0.0, overlap=1), seed=1)
    ada, bob, cy = people("Ada"), people("Bob"), people("Cy")
    mine = desk.next(ada)
    assert mine is not None
    others = do_all(desk, bob)
    assert len(others) == 4 and mine.prompt not in [t.prompt for t in others]
    with database.begin() as connection:
        long_ago = stamp(-timedelta(hours=desk.settings.session_hours + 1))
        connection.execute(update(tables.tasks).where(tables.tasks.c.id == mine.id).values(opened=long_ago))
    left = desk.next(bob)
    assert left is not None and left.prompt == mine.prompt
    Accounts(database).deactivate(bob.id)
    again = desk.next(cy)
    assert again is not None and again.prompt == mine.prompt
    assert desk.submit(mine.id, ada, as_shown(mine)).judgement  # whoever comes back is not turned away


def test_the_same_submit_twice_is_one_and_another_is_refused(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    first = desk.submit(task.id, ada, as_shown(task))
    assert desk.submit(task.id, ada, as_shown(task)) == first
    with pytest.raises(StoreError, match="another answer"):
        desk.submit(task.id, ada, Answer((tuple(r.id for r in task.responses),)))
    assert Records(database).judgements.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda task: Answer(),
        lambda task: Answer((("stranger",),)),
        lambda task: Answer(((task.responses[0].id,), (task.responses[0].id,))),
        lambda task: Answer(((task.responses[0].id,),), scores={"stranger": {"helpful": 1}}),
        lambda task: Answer(((task.responses[0].id,),), scores={task.responses[0].id: {"helpful": 6}}),
        lambda task: Answer(((task.responses[0].id,),), reason="a\0b"),
        lambda task: Answer(((task.responses[0].id,),), better="half \ud800"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(database: Database, people: People, wrong) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    with pytest.raises(DataError):
        desk.submit(task.id, ada, wrong(task))
    assert desk.next(ada) == task and Records(database).judgements.count() == 0


def test_another_raters_task_is_not_there(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    task = desk.next(people("Ada"))
    bob = people("Bob")
    assert task is not None
    for act in (
        lambda: desk.asked(task.id, bob),
        lambda: desk.submit(task.id, bob, as_shown(task)),
        lambda: desk.save_draft(task.id, bob, {}),
        lambda: desk.report_problem(task.id, bob, "?"),
    ):
        with pytest.raises(StoreError, match="no such task"):
            act()


def test_drafts_come_back_until_the_task_is_done(database: Database, people: People) -> None:
    ada = people("Ada")
    desk = Desk(database, NO_PRACTICE, seed=1)
    task = desk.next(ada)
    assert task is not None
    desk.save_draft(task.id, ada, {"places": {"A": 1}})
    desk.save_draft(task.id, ada, {"places": {"A": 2}})
    later = Desk(database, NO_PRACTICE, seed=1).next(ada)
    assert later is not None and later.draft == {"places": {"A": 2}}
    desk.submit(task.id, ada, as_shown(task))
    with pytest.raises(StoreError, match="already"):
        desk.save_draft(task.id, ada, {})


def nested(depth: int) -> list[object]:
    return [nested(depth - 1)] if depth > 1 else []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": nested(DEEPEST)}, "deep"),
        ({"a": nested(900)}, "deep"),
        ({"a": [{"b": float("nan")}]}, "finite"),
        ({"a": float("inf")}, "finite"),
        ({"a": ["x\0"]}, "U[+]0000"),
        ({"\ud800": 1}, "half a character"),
    ],
)
def test_a_draft_that_could_not_be_handed_out_again_is_refused(
    database: Database, people: People, content: dict[str, object], said: str
) -> None:
    ada, desk = people("Ada"), Desk(database, NO_PRACTICE, seed=1)
    task = desk.next(ada)
    assert task is not None
    kept = {"a": nested(DEEPEST - 1), "b": [1, 2.5, None, True, "ü"]}
    desk.save_draft(task.id, ada, kept)
    with pytest.raises(DataError, match=said):
        desk.save_draft(task.id, ada, content)
    again = desk.next(ada)
    assert again is not None and again.draft == kept


def test_undo_withdraws_and_keeps_the_history(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    assert desk.undo(ada) is None
    task = desk.next(ada)
    assert task is not None
    said = desk.submit(task.id, ada, as_shown(task)).judgement
    waiting = desk.next(ada)
    opened = desk.undo(ada)
    assert opened is not None and waiting is not None and opened.id == task.id
    assert Records(database).judgements.count() == 0
    with database.read() as connection:
        (kept,) = connection.execute(select(tables.withdrawn)).all()
        assert (kept.judgement_id, kept.judgement["id"]) == (said, said)
        assert kept.answer["ranking"] == [[r.id] for r in task.responses]
        assert [j.id for j in judgements_of(connection, [said or ""])] == [said]
    assert desk.next(ada) == opened
    other = Answer((tuple(r.id for r in task.responses),))
    desk.submit(task.id, ada, other)
    following = desk.next(ada)
    assert following is not None and following.id == waiting.id


def test_undo_takes_a_better_answer_back(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    desk.submit(task.id, ada, replace(as_shown(task), better="With a mistake."))
    desk.undo(ada)
    desk.submit(task.id, ada, replace(as_shown(task), better="Without."))
    assert [d.response for d in Records(database).demonstrations.list()] == ["Without."]


def test_in_practice_the_first_answer_counts(database: Database, people: People) -> None:
    desk = Desk(database, PeopleSettings(calibration=1), seed=1)
    ada = people("Ada")
    task = desk.next(ada)
    assert task is not None
    told = desk.submit(task.id, ada, Answer(outcome="cannot-judge"))
    desk.undo(ada)
    again = desk.submit(task.id, ada, Answer(told.expected))
    assert (told.agreed, again.agreed) == (False, True)
    (row,) = read_queue(database, desk.settings).raters
    assert row.practice == (0, 1)


def test_practice_comes_first_is_explained_and_trains_nothing(database: Database, people: People) -> None:
    desk = Desk(database, PeopleSettings(calibration=3, gold_rate=0.0), seed=1)
    ada = people("Ada")
    tasks = do_all(desk, ada)
    assert [t.kind for t in tasks] == ["calibration"] * 3 + ["work"] * 5
    desk = Desk(database, PeopleSettings(calibration=1, gold_rate=0.0), seed=1)
    bob = people("Bob")
    task = desk.next(bob)
    assert task is not None
    known = next(g for g in shipped_gold() if g.prompt.id == task.prompt.id)
    told = desk.submit(task.id, bob, Answer(known.expected))
    assert told.agreed and told.expected == known.expected and told.explanation == known.explanation
    gold = Records(database).judgements.list(split=SPLIT)
    assert len(gold) == 4
    with database.read() as connection:
        assert (
            not {j.id for j in gold} & set(given_to_runs(connection)) and len(given_to_runs(connection)) == 5
        )


def test_gold_among_the_work_says_nothing(database: Database, people: People) -> None:
    desk = Desk(database, PeopleSettings(calibration=0, gold_rate=0.5), seed=3)
    ada = people("Ada")
    kinds: Counter[str] = Counter()
    while (task := desk.next(ada)) is not None:
        told = desk.submit(task.id, ada, as_shown(task))
        kinds[task.kind] += 1
        assert told.explanation is None and told.expected == ()
    assert kinds["gold"] > 0 and kinds["work"] == 5
    (row,) = read_queue(database, desk.settings).raters
    assert row.gold[1] == kinds["gold"] and row.rankings == 5


def test_the_queue_counts_what_is_wanted(database: Database, people: People) -> None:
    desk = Desk(database, NO_PRACTICE, seed=1)
    do_all(desk, people("Ada"))
    bob = people("Bob")
    task = desk.next(bob)
    assert task is not None
    desk.submit(task.id, bob, as_shown(task))
    desk.next(bob)
    queue = read_queue(database, NO_PRACTICE)
    assert (queue.prompts, queue.ready, queue.rankings, queue.missing) == (5, 1, 6, 4)
    assert queue.open_tasks == 1 and queue.median_seconds == 2.0 and queue.days[-1][1] == 6


def test_a_prompt_that_cannot_be_had_is_let_go_of(database: Database) -> None:
    """Else two raters who each hold one and wait for the other's would never end."""
    if database.engine.url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has one writer at a time: nobody else can claim meanwhile")
    prompt = Prompt.of("Question 0?", source="test").id
    with database.begin() as first, database.begin() as second:
        assert not claim_unit(first, prompt, "unit", 0, stamp(), wait=True)
        assert claim_unit(second, prompt, "unit", 1, stamp(), wait=False)
        assert not claim_unit(first, prompt, "unit", 1, stamp(), wait=False)


def test_many_at_once_lose_and_double_nothing(database: Database, people: People) -> None:
    desk = Desk(database, PeopleSettings(calibration=0, gold_rate=0.0, overlap=3), seed=1)
    raters = [people(f"R{n}") for n in range(6)]
    acknowledged: list[str] = []
    problems: list[BaseException] = []

    def work(rater: Rater) -> None:
        try:
            while (task := desk.next(rater)) is not None:
                acknowledged.append(desk.submit(task.id, rater, as_shown(task)).judgement or "")
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(rater,)) for rater in raters for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    kept = Records(database).judgements.list()
    assert {j.id for j in kept} == set(acknowledged)
    assert len({(j.rater, j.prompt_id) for j in kept}) == len(kept)
    assert Counter(j.prompt_id for j in kept) == {Prompt.of(f"Question {n}?").id: 3 for n in range(5)}


RATE = """
import sys
from pathlib import Path
from tests.preferences.test_desk import NO_PRACTICE, as_shown
from tutelage.preferences.accounts import Accounts
from tutelage.preferences.desk import Desk
from tutelage.store.database import Database

with Database.open(sys.argv[1], Path(sys.argv[2])) as database:
    (ada,) = Accounts(database).raters()
    desk = Desk(database, NO_PRACTICE, seed=1)
    while (task := desk.next(ada)) is not None:
        desk.save_draft(task.id, ada, {"of": task.id})
        print("draft", task.id, flush=True)
        print("done", desk.submit(task.id, ada, as_shown(task)).judgement, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(
    database: Database, people: People, database_url: str, tmp_path: Path
) -> None:
    fill(database, 400)
    people("Ada")
    command = [sys.executable, "-c", RATE, database_url, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(21)]
        process.kill()
        lines += [line.split() for line in process.stdout if line.endswith("\n")]
    said = {what: [name for kind, name in lines if kind == what] for what in ("draft", "done")}
    with Database.open(database_url, tmp_path) as after, after.read() as connection:
        kept = set(given_to_runs(connection))
        drafts = set(connection.scalars(select(tables.drafts.c.task_id)))
        tasks = {row.id: row.state for row in connection.execute(select(tables.tasks))}
    assert len(said["done"]) >= 10 and set(said["done"]) <= kept and len(kept) < 400
    assert all(tasks[name] == "done" or name in drafts for name in said["draft"])


def test_agreement_with_what_is_expected_by_hand() -> None:
    expected = (("a",), ("b", "c"), ("d",))  # ordered pairs: ab ac ad bd cd
    assert agreement_with(expected, expected) == 1.0
    assert agreement_with((("d",), ("c",), ("b",), ("a",)), expected) == 0.0
    assert agreement_with((("a", "b", "c", "d"),), expected) == 0.5
    assert agreement_with((("a",),), expected) == (3 + 2 * 0.5) / 5  # the rest stands together below
    assert agrees((("a",), ("b",), ("c",), ("d",)), expected)
    assert not agrees((("b",), ("a",), ("d",), ("c",)), expected)  # ab and cd wrong: 3 of 5


def test_shipped_questions_are_whole() -> None:
    questions = shipped_gold()
    assert 6 <= len(questions) <= 10
    for one in questions:
        ranked = sorted(r for group in one.expected for r in group)
        assert ranked == sorted(r.id for r in one.responses) and len(set(ranked)) == len(ranked)
        assert set(one.explanation) == {"helpful", "harmless", "honest"}
