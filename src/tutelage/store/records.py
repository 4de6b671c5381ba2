"""Records in and out of the database: one repository for each kind.

`add` is idempotent: a record that is there already is the same record, so adding it again changes only
what is not part of its identity (a split, a source), and only where the new word is not empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, bindparam, case, func, insert, select, update

from tutelage.core.records import Artifact, Demonstration, Judgement, Original, Prompt, Record, Response
from tutelage.store import tables
from tutelage.store.database import Database

R = TypeVar("R", bound=Record)
CHUNK = 500
"""Rows in one statement; SQLite takes at most 32,766 bound values."""


@dataclass(frozen=True)
class Shape(Generic[R]):
    """How one kind of record lies in its table.

    `row` and `record` turn one into the other; `freshened` are the columns outside the record's identity.
    """

    table: Table
    row: Callable[[R], dict[str, Any]]
    record: Callable[[dict[str, Any]], R]
    freshened: tuple[str, ...] = ()


class Repository(Generic[R]):
    """The records of one kind."""

    def __init__(self, database: Database, shape: Shape[R]) -> None:
        self._database, self._shape = database, shape

    def add(self, records: Iterable[R]) -> int:
        """Keep records, all or none; returns how many were new."""
        rows = _rows(self._shape, records)
        with self._database.begin() as connection:
            return _upsert(connection, self._shape, rows)

    def get(self, record_id: str) -> R | None:
        """The record with this id, or None."""
        found = list(self._read(self._select().where(self._shape.table.c.id == record_id)))
        return found[0] if found else None

    def list(self, **wanted: str) -> Sequence[R]:
        """Records with these column values (`split="train"`, `source="pack:starter"`), ordered by id."""
        query = self._filtered(self._select(), wanted)
        return list(self._read(query.order_by(self._shape.table.c.id)))

    def count(self, **wanted: str) -> int:
        """How many records have these column values."""
        query = self._filtered(select(func.count()).select_from(self._source()), wanted)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _source(self) -> Any:
        """What is read from; demonstrations bring their prompt along."""
        if self._shape.table is tables.demonstrations:
            return tables.demonstrations.join(tables.prompts)
        return self._shape.table

    def _select(self) -> Select[Any]:
        if self._shape.table is tables.demonstrations:
            columns = [c for c in tables.prompts.c if c.name != "id"]
            return select(tables.demonstrations, *columns).select_from(self._source())
        return select(self._shape.table)

    def _filtered(self, query: Select[Any], wanted: dict[str, str]) -> Select[Any]:
        for name, value in wanted.items():
            column = self._shape.table.c.get(name)
            if column is None and self._shape.table is tables.demonstrations:
                column = tables.prompts.c.get(name)
            if column is None:
                raise TypeError(f"{self._shape.table.name} have no column '{name}'")
            query = query.where(column == value)
        return query

    def _read(self, query: Select[Any]) -> Iterator[R]:
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            yield self._shape.record({k: v for k, v in row.items() if k != "id"})


class _Demonstrations(Repository[Demonstration]):
    def add(self, records: Iterable[Demonstration]) -> int:
        """Keep demonstrations and the prompts they answer; returns how many were new."""
        kept = list(records)
        with self._database.begin() as connection:
            return keep_demonstrations(connection, kept)


class Records:
    """All repositories of one database."""

    def __init__(self, database: Database) -> None:
        self.prompts = Repository(database, PROMPTS)
        self.responses = Repository(database, RESPONSES)
        self.demonstrations = _Demonstrations(database, DEMONSTRATIONS)
        self.judgements = Repository(database, JUDGEMENTS)
        self.originals = Repository(database, ORIGINALS)
        self.artifacts = Repository(database, ARTIFACTS)
        self._database = database

    def give(self, judgements: Iterable[Judgement]) -> None:
        """Note that runs shall learn from these judgements, which are there, in the splits that they state."""
        with self._database.begin() as connection:
            keep_given(connection, judgements)


def stamp(later: timedelta = timedelta()) -> str:
    """A moment in UTC, of a fixed width, so that texts compare as moments do."""
    return (datetime.now(UTC) + later).isoformat(timespec="microseconds")


def keep_demonstrations(connection: Connection, demonstrations: Sequence[Demonstration]) -> int:
    """Keep demonstrations and their prompts within a transaction that is open already; how many were new."""
    _upsert(connection, PROMPTS, _rows(PROMPTS, [d.prompt for d in demonstrations]))
    return _upsert(connection, DEMONSTRATIONS, _rows(DEMONSTRATIONS, demonstrations))


def keep_new(connection: Connection, shape: Shape[R], records: Iterable[R]) -> int:
    """Keep records that are not there, within a transaction that is open already; others stay as they are."""
    return _upsert(connection, replace(shape, freshened=()), _rows(shape, records))


def keep_given(connection: Connection, judgements: Iterable[Judgement]) -> None:
    """The same within a transaction that is open already."""
    splits = {j.id: j.split for j in judgements}
    known = tables.given.c.judgement_id
    moment = stamp()
    for start in range(0, len(splits), CHUNK):
        ids = list(splits)[start : start + CHUNK]
        there = set(connection.scalars(select(known).where(known.in_(ids))))
        rows = [{"judgement_id": i, "split": splits[i], "given": moment} for i in ids if i not in there]
        if rows:
            connection.execute(insert(tables.given), rows)


def _rows(shape: Shape[R], records: Iterable[R]) -> Sequence[dict[str, Any]]:
    return list({record.id: {"id": record.id, **shape.row(record)} for record in records}.values())


def _upsert(connection: Connection, shape: Shape[Any], rows: Sequence[dict[str, Any]]) -> int:
    table, added = shape.table, 0
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        there = set(
            connection.scalars(select(table.c.id).where(table.c.id.in_([row["id"] for row in chunk])))
        )
        fresh = [row for row in chunk if row["id"] not in there]
        known = [row for row in chunk if row["id"] in there]
        if fresh:
            connection.execute(insert(table), fresh)
        if known and shape.freshened:
            connection.execute(_freshen(shape), [_named(row, shape.freshened) for row in known])
        added += len(fresh)
    return added


def _freshen(shape: Shape[Any]) -> Any:
    table = shape.table
    values = {}
    for name in shape.freshened:
        column = table.c[name]
        new = bindparam(f"new_{name}", type_=column.type)
        values[name] = case((new == "", column), else_=new) if column.type.python_type is str else new
    return update(table).where(table.c.id == bindparam("which")).values(values)


def _named(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {"which": row["id"], **{f"new_{name}": row[name] for name in names}}


def _demonstration_row(record: Demonstration) -> dict[str, Any]:
    kept = {"response": record.response, "author": record.author, "guideline": record.guideline}
    return {"prompt_id": record.prompt.id, **kept}


def _demonstration(row: dict[str, Any]) -> Demonstration:
    prompt = {name: row[name] for name in ("messages", "source", "category", "split")}
    kept = {name: row[name] for name in ("response", "author", "guideline")}
    return Demonstration.from_dict({"prompt": prompt, **kept})


PROMPTS = Shape(tables.prompts, Prompt.to_dict, Prompt.from_dict, ("source", "category", "split"))
RESPONSES = Shape(tables.responses, Response.to_dict, Response.from_dict)
DEMONSTRATIONS = Shape(tables.demonstrations, _demonstration_row, _demonstration, ("author", "guideline"))
JUDGEMENTS = Shape(tables.judgements, Judgement.to_dict, Judgement.from_dict, ("split",))
ORIGINALS = Shape(
    tables.originals, Original.to_dict, Original.from_dict, ("content", "responses", "judgement_ids")
)
ARTIFACTS = Shape(
    tables.artifacts,
    Artifact.to_dict,
    Artifact.from_dict,
    ("code", "metrics", "files", "seconds", "finished"),
)
