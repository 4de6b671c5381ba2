"""What people are asked and what they said: reads and writes within a transaction that is open already.

A task is one unit (a prompt with the set of responses shown) for one rater. It is open, done, or left (its rater's
account was closed). Left out on purpose: what is asked next, and what an answer must be (`preferences`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from tutelage.core.errors import DataError
from tutelage.core.hashing import content_id
from tutelage.core.records import Demonstration, Judgement, Prompt, Response
from tutelage.store import tables
from tutelage.store.records import CHUNK, JUDGEMENTS, keep_given, keep_new, stamp

DEEPEST = 16
"""How deep lists and objects may lie in one another; what a page keeps needs four."""

_t, _j, _w = tables.tasks.c, tables.judgements.c, tables.withdrawn.c


def require_text(*texts: str) -> None:
    """Raise `DataError` for a text that not every database can keep: one with U+0000 or half a character."""
    for one in texts:
        try:
            one.encode()
        except UnicodeEncodeError:
            raise DataError("the text has half a character in it: write it anew") from None
        if "\0" in one:
            raise DataError("the text has the character U+0000 in it: write it anew")


def require_plain(content: Any) -> None:
    """Raise `DataError` for a JSON value that cannot be kept and handed out again.

    That is one with a text that `require_text` refuses, a number that is none, or lists in lists beyond `DEEPEST`.
    """
    level, depth = [content], 0
    while level:
        depth += any(isinstance(one, (Mapping, list)) for one in level)
        if depth > DEEPEST:
            raise DataError(f"lists and objects may lie in one another {DEEPEST} deep: make it flatter")
        below: list[Any] = []
        for one in level:
            if isinstance(one, str):
                require_text(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise DataError("a number must be finite: send another one")
            elif isinstance(one, Mapping):
                below += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                below += one
        level = below


def unit_id(responses: Iterable[str]) -> str:
    """The name of a set of response ids, in whatever order they are shown."""
    return content_id("unit", sorted(responses))


def take_turns(connection: Connection, rater_id: str) -> bool:
    """Let one transaction of a rater at a time through; False if there is no such rater."""
    row = select(tables.raters.c.id).where(tables.raters.c.id == rater_id)
    return connection.execute(row.with_for_update(key_share=True)).first() is not None


def asked_of(connection: Connection, rater_id: str) -> Sequence[Row[Any]]:
    """Unit, kind and state of every task that a rater has or had."""
    return connection.execute(select(_t.unit, _t.kind, _t.state).where(_t.rater_id == rater_id)).all()


def held_units(connection: Connection, since: str) -> dict[str, tuple[int, int]]:
    """How many raters ranked each unit or were given it after the moment `since`, and how many of them are done."""
    done = func.sum(case((_t.state == "done", 1), else_=0))
    counted = select(_t.unit, func.count(), done).where(_t.kind == "work", _held(since)).group_by(_t.unit)
    return {unit: (int(held), int(ready)) for unit, held, ready in connection.execute(counted)}


def full_units(connection: Connection, raters: int, since: str, kind: str = "work") -> set[str]:
    """Units that `raters` raters or more ranked or were given after the moment `since`; tasks of one kind alone."""
    counted = select(_t.unit).where(_t.kind == kind, _held(since)).group_by(_t.unit)
    return set(connection.scalars(counted.having(func.count() >= raters)))


def claim_unit(
    connection: Connection,
    prompt_id: str,
    unit: str,
    raters: int,
    since: str,
    wait: bool,
    kind: str = "work",
) -> bool:
    """Whether another rater may have the unit. Nobody else claims its prompt before this transaction ends.

    Without `wait`, False also where somebody is claiming it at this moment.
    """
    prompt = select(tables.prompts.c.id).where(tables.prompts.c.id == prompt_id)
    held = select(func.count()).where(_t.kind == kind, _t.unit == unit, _held(since))
    # A prompt that cannot be had is let go of at once: who waits holds no other, so nobody waits in a circle.
    attempt = connection.begin_nested()
    # SQLite has one writer at a time and needs no such lock.
    locked = prompt.with_for_update(key_share=True, skip_locked=not wait)
    free = connection.execute(locked).first() is not None
    if free and connection.execute(held).scalar_one() < raters:
        attempt.commit()
        return True
    attempt.rollback()
    return False


def _held(since: str) -> ColumnElement[bool]:
    return or_(_t.state == "done", and_(_t.state == "open", _t.opened > since))


def open_task(connection: Connection, rater_id: str) -> Row[Any] | None:
    """The task that a rater has open; of several (one was undone) the last opened."""
    query = select(tables.tasks).where(_t.rater_id == rater_id, _t.state == "open")
    return connection.execute(query.order_by(_t.opened.desc()).limit(1)).first()


def last_done(connection: Connection, rater_id: str) -> Row[Any] | None:
    """The task that a rater handed in last."""
    query = select(tables.tasks).where(_t.rater_id == rater_id, _t.state == "done")
    return connection.execute(query.order_by(_t.finished.desc()).limit(1)).first()


def own_task(connection: Connection, task_id: str, rater_id: str, lock: bool = False) -> Row[Any] | None:
    """A task, if it is this rater's."""
    query = select(tables.tasks).where(_t.id == task_id, _t.rater_id == rater_id)
    return connection.execute(query.with_for_update() if lock else query).first()


def add_task(
    connection: Connection,
    rater_id: str,
    prompt_id: str,
    shown: Sequence[str],
    kind: str,
    dealt: str = "random",
) -> Row[Any]:
    """Give a rater a task; `shown` are response ids in the order in which this rater sees them.

    `dealt`: `random` or `active`, which says whether the prompt was drawn or chosen.
    """
    row = {"id": secrets.token_hex(12), "rater_id": rater_id, "prompt_id": prompt_id, "unit": unit_id(shown)}
    row |= {"shown": list(shown), "kind": kind, "state": "open", "opened": stamp()}
    row["dealt"] = dealt
    connection.execute(insert(tables.tasks).values(row))
    return connection.execute(select(tables.tasks).where(_t.id == row["id"])).one()


def finish_task(
    connection: Connection,
    task_id: str,
    answer: Mapping[str, Any],
    judgement: Judgement | None,
    agreed: bool | None,
    trains: bool,
) -> None:
    """Close a task with its answer and keep the judgement that it became; the draft is no longer needed.

    `trains`: whether runs learn from the judgement.
    """
    if judgement is not None:
        keep_new(connection, JUDGEMENTS, [judgement])
        if trains:
            keep_given(connection, [judgement])
    done = {"state": "done", "finished": stamp(), "answer": dict(answer), "agreed": agreed}
    done["judgement_id"] = None if judgement is None else judgement.id
    connection.execute(update(tables.tasks).where(_t.id == task_id).values(done))
    connection.execute(delete(tables.drafts).where(tables.drafts.c.task_id == task_id))


def reopen_task(connection: Connection, task: Row[Any]) -> None:
    """Open a task again: its answer and judgement go into the history. What practice told of it stays told."""
    judgement = None
    if task.judgement_id is not None:
        row = connection.execute(select(tables.judgements).where(_j.id == task.judgement_id)).mappings()
        judgement = next((dict(one) for one in row), None)
        connection.execute(delete(tables.given).where(tables.given.c.judgement_id == task.judgement_id))
        connection.execute(delete(tables.judgements).where(_j.id == task.judgement_id))
    undone = {"task_id": task.id, "withdrawn": stamp(), "answer": task.answer}
    undone |= {"judgement_id": task.judgement_id, "judgement": judgement}
    connection.execute(insert(tables.withdrawn).values(undone))
    again = {"state": "open", "opened": stamp(), "finished": None, "answer": None, "judgement_id": None}
    connection.execute(update(tables.tasks).where(_t.id == task.id).values(again))


def leave_tasks(connection: Connection, rater_id: str) -> None:
    """Give a rater's open tasks up, so that others may have them."""
    mine = update(tables.tasks).where(_t.rater_id == rater_id, _t.state == "open")
    connection.execute(mine.values(state="left"))


def withdraw_demonstration(connection: Connection, demonstration: Demonstration) -> None:
    """Take a rater's own answer back."""
    d = tables.demonstrations.c
    mine = delete(tables.demonstrations).where(d.id == demonstration.id, d.author == demonstration.author)
    connection.execute(mine)


def draft_of(connection: Connection, task_id: str) -> Mapping[str, Any] | None:
    """What was kept of an answer that is not handed in yet."""
    d = tables.drafts.c
    return connection.execute(select(d.content).where(d.task_id == task_id)).scalar()


def keep_draft(connection: Connection, task_id: str, content: Mapping[str, Any]) -> None:
    """Keep what there is of an answer, in the place of what was kept before."""
    connection.execute(delete(tables.drafts).where(tables.drafts.c.task_id == task_id))
    row = {"task_id": task_id, "content": dict(content), "saved": stamp()}
    connection.execute(insert(tables.drafts).values(row))


def keep_problem(connection: Connection, task_id: str, said: str) -> None:
    """Keep what a rater says is wrong with a task."""
    row = {"id": secrets.token_hex(8), "task_id": task_id, "text": said, "reported": stamp()}
    connection.execute(insert(tables.problems).values(row))


def gold_of(connection: Connection) -> dict[str, Row[Any]]:
    """The questions with known answers, by unit."""
    rows = connection.execute(select(tables.gold).order_by(tables.gold.c.prompt_id)).all()
    return {unit_id(row.responses): row for row in rows}


def responses_of(connection: Connection, ids: Sequence[str]) -> tuple[Response, ...]:
    """Responses by id, in the order asked for."""
    rows = _by_id(connection, select(tables.responses), tables.responses.c.id, ids)
    found = {row["id"]: Response.from_dict(row) for row in rows}
    return tuple(found[i] for i in ids)


def prompts_of(connection: Connection, ids: Sequence[str]) -> tuple[Prompt, ...]:
    """Prompts by id, in the order asked for."""
    rows = _by_id(connection, select(tables.prompts), tables.prompts.c.id, ids)
    found = {row["id"]: Prompt.from_dict(row) for row in rows}
    return tuple(found[i] for i in ids)


def given_to_runs(connection: Connection) -> dict[str, str]:
    """The judgements that runs learn from beside those of the recipe's files: stated splits by id, in order."""
    g = tables.given.c
    rows = connection.execute(select(g.judgement_id, g.split).order_by(g.judgement_id))
    return {row.judgement_id: row.split for row in rows}


def judgements_of(connection: Connection, ids: Sequence[str]) -> list[Judgement]:
    """Judgements by id, in the order asked for, also one that was withdrawn since; one that is lost is left out."""
    rows = _by_id(connection, select(tables.judgements), _j.id, ids)
    found = {row["id"]: row for row in rows}
    gone = [i for i in ids if i not in found]
    history = _by_id(connection, select(_w.judgement_id, _w.judgement), _w.judgement_id, gone)
    found |= {row["judgement_id"]: row["judgement"] for row in history if row["judgement"]}
    return [Judgement.from_dict(found[i]) for i in ids if i in found]


def _by_id(
    connection: Connection, query: Select[Any], column: ColumnElement[Any], ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows whose column is one of `ids`, asked for in pieces: databases limit the values of a statement."""
    pieces = (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
    return [
        dict(row) for piece in pieces for row in connection.execute(query.where(column.in_(piece))).mappings()
    ]
