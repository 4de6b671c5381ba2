"""What people said on the pages or in an import, and how it reaches training.

A run takes down, when it begins, which judgements stand. A hash of them is an input of the judge stage, and that
stage reads exactly those, whatever is said meanwhile: so a new ranking, or one that was undone, makes the judge
stage of the next run stale with what rests on it, and an artifact's id stands for what is in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.core.errors import StoreError

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.core.records import Judgement, Prompt, Response

SQLITE = "sqlite:///"
GIVEN = "SELECT judgement_id, split FROM given ORDER BY judgement_id"
CLOSED = "SELECT id, closed FROM rounds WHERE closed IS NOT NULL ORDER BY number"


@dataclass(frozen=True)
class Said:
    """What people said: judgements with their splits, and the prompts and responses they speak of."""

    judgements: tuple[Judgement, ...]
    prompts: dict[str, Prompt]
    responses: dict[str, Response]


def said_by_people(recipe: Recipe, project: Path) -> dict[str, str]:
    """Stated splits (most state none) of all judgements that stand, by id and in this order.

    Looking changes nothing: a SQLite file is neither made nor migrated, and a writer is not waited for.
    Raises `StoreError` if there is a database that cannot be read.
    """
    if recipe.database.startswith(SQLITE):
        return _look(project / recipe.database.removeprefix(SQLITE), "given", GIVEN)
    from tutelage.store.database import Database
    from tutelage.store.people import given_to_runs

    with Database.open(recipe.database, project) as database, database.read() as connection:
        return given_to_runs(connection)


def closed_rounds(recipe: Recipe, project: Path) -> dict[str, str]:
    """When each round of blind evaluation was closed, by id, in order: what the report tells of. As above."""
    if recipe.database.startswith(SQLITE):
        return _look(project / recipe.database.removeprefix(SQLITE), "rounds", CLOSED)
    from tutelage.store.database import Database
    from tutelage.store.rounds import rounds

    with Database.open(recipe.database, project) as database, database.read() as connection:
        return {one.id: one.closed for one in rounds(connection) if one.closed is not None}


def read_said(recipe: Recipe, project: Path, stated: Mapping[str, str], of_files: Mapping[str, str]) -> Said:
    """The judgements that `said_by_people` named.

    A prompt is in the split that the recipe's files give it (`of_files`, by prompt id), else in one that was
    stated for it, else, as in files, in one by its opening. Raises `StoreError` if a judgement is lost.
    """
    from tutelage.data.splits import split_of
    from tutelage.store import people
    from tutelage.store.database import Database

    if not stated:
        return Said((), {}, {})
    with Database.open(recipe.database, project) as database, database.read() as connection:
        judgements = people.judgements_of(connection, list(stated))
        prompts = people.prompts_of(connection, sorted({j.prompt_id for j in judgements}))
        responses = people.responses_of(connection, sorted({r for j in judgements for r in j.shown}))
    if len(judgements) < len(stated):
        raise StoreError(
            f"{len(stated) - len(judgements)} of {len(stated)} judgements are no longer in the database: "
            "run again"
        )
    data = recipe.data
    splits = {p.id: split_of(p, data.referee_share, data.measure_share) for p in prompts}
    splits |= {j.prompt_id: stated[j.id] for j in judgements if stated[j.id]}
    splits |= of_files
    return Said(
        tuple(replace(j, split=splits[j.prompt_id]) for j in judgements),
        {p.id: p for p in prompts},
        {r.id: r for r in responses},
    )


def _look(path: Path, table: str, query: str) -> dict[str, str]:
    """What a query of two columns finds, by Python's own SQLite: a glance needs no SQLAlchemy."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            named = "SELECT 1 FROM sqlite_master WHERE name = ?"
            there = connection.execute(named, (table,)).fetchone()
            return dict(connection.execute(query)) if there else {}
    except sqlite3.Error as problem:
        raise StoreError(
            f"the database {path} cannot be read ({problem}): see to it before you run"
        ) from None
