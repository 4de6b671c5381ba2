"""A project's records out of its database: lossless, or in a format that another tool reads; and backups.

`FORMATS` says what each format carries. What one cannot say is left out, counted, and told: nothing is bent
to fit. All is read at one moment, so raters can go on while an export is written.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.core.errors import DataError, StoreError
from tutelage.core.records import Comparison, Demonstration, Judgement, Original, Prompt, Response
from tutelage.data import rating_tools, writers
from tutelage.data.tables import LeftOut, Written, table_kind, write_table
from tutelage.pipeline.run import explaining
from tutelage.preferences import gold
from tutelage.preferences.desk import UNTRAINED
from tutelage.preferences.resolve import EVERYONE, resolve_comparisons
from tutelage.store import dump
from tutelage.store.backup import copy_sqlite, sqlite_file
from tutelage.store.database import Database
from tutelage.store.records import Records

if TYPE_CHECKING:
    from tutelage.pipeline.project import Project

Rows = Iterator[dict[str, Any] | LeftOut]


@dataclass(frozen=True)
class Held:
    """What a database holds, or the part of it that is asked for. Prompts and responses are by id."""

    prompts: Mapping[str, Prompt]
    responses: Mapping[str, Response]
    demonstrations: list[Demonstration]
    judgements: list[Judgement]
    originals: list[Original]

    @classmethod
    def read(cls, records: Records) -> Held:
        """All of it, each judgement in the split of its prompt."""
        prompts = {p.id: p for p in records.prompts.list()}
        judgements = list(records.judgements.list())
        splits = {j.prompt_id: j.split for j in judgements if j.split}
        splits |= {p.id: p.split for p in prompts.values() if p.split}
        return cls(
            prompts,
            {r.id: r for r in records.responses.list()},
            list(records.demonstrations.list()),
            [replace(j, split=j.split or splits.get(j.prompt_id, "")) for j in judgements],
            list(records.originals.list()),
        )

    def part(self, split: str | None, models: bool) -> Held:
        """Judgements of one split, with or without those by models, and demonstrations of it.

        What trains nothing (answers to questions with known answers, and of an evaluation) is left out unless it is
        its split that is asked for.
        """
        kept = [j for j in self.judgements if models or j.kind == "person"]
        kept = [j for j in kept if j.split == split or j.split not in UNTRAINED.values()]
        if split is None:
            return replace(self, judgements=kept)
        asked = {i for i, prompt in self.prompts.items() if prompt.split == split}
        asked |= {j.prompt_id for j in self.judgements if j.split == split}
        return replace(
            self,
            judgements=[j for j in kept if j.split == split],
            demonstrations=[d for d in self.demonstrations if d.prompt.split == split],
            originals=[o for o in self.originals if o.prompt_id in asked],
        )

    def comparisons(self) -> list[Comparison]:
        """What the judgements resolve to."""
        return resolve_comparisons(self.judgements, kinds=EVERYONE) if self.judgements else []


def _tool_rows(name: str, held: Held) -> Rows:
    tool = rating_tools.FORMATS[name]
    return rating_tools.task_rows(tool, held.originals, held.judgements, held.prompts, held.responses)


FORMATS: dict[str, Callable[[Held], Rows]] = {
    "trl": lambda held: writers.trl_rows(held.comparisons(), held.prompts, held.responses),
    "hh": lambda held: writers.hh_rows(held.comparisons(), held.prompts, held.responses),
    "ranking": lambda held: writers.ranking_rows(held.judgements, held.prompts, held.responses),
    "messages": lambda held: writers.message_rows(held.demonstrations),
    **{name: partial(_tool_rows, name) for name in rating_tools.FORMATS},
}
"""How each format's rows are made. The first two are of comparisons, the last ones of people's judgements."""
RECORDS = "records"


def export(
    database: Database,
    target: Path,
    format: str = RECORDS,
    *,
    split: str | None = None,
    models: bool = False,
    unranked: bool = False,
    force: bool = False,
) -> Written:
    """Write what the database holds to `target`: a folder for `records`, else a file whose suffix says its kind.

    `split` takes one split alone, `models` judgements by models too, and `unranked` (rating tools) a task for
    every prompt with responses that nobody has ranked. `force` writes over what is there. `records` is always
    everything. Raises `DataError` if there is nothing of that kind, `StoreError` if the target is there.
    """
    if format == RECORDS:
        with _whole_folder(target, force) as folder:
            return _export_records(database, folder)
    if format not in FORMATS:
        raise DataError(f"there is no format '{format}': known are {', '.join([RECORDS, *FORMATS])}")
    table_kind(target)
    with database.snapshot() as moment:
        held = Held.read(Records(moment)).part(split, models)
    rows = FORMATS[format](held)
    _require_free(target, force)
    written = write_table(target, _and_unranked(rows, held, format) if unranked else rows)
    if not written.rows:
        more = "; ".join(written.lines())
        raise DataError(
            f"there is nothing to export as {format}{f' in the split {split}' if split else ''}"
            f"{f' ({more})' if more else ''}: rate, run or import something first"
        )
    return written


def backup(database: Database, project: Path, target: Path | None = None, *, as_tables: bool = False) -> Path:
    """A consistent copy of the live database; where it is.

    SQLite gives a database file that can take its place; others, or with `as_tables`, a folder of every table
    that `import` puts back into an empty database. Raises `StoreError` if the target is there already.
    """
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    source = None if as_tables else sqlite_file(database)
    place = target or project / "backups" / (f"tutelage-{stamp}.db" if source else f"tutelage-{stamp}")
    if source is None:
        with _whole_folder(place, force=False) as folder:
            dump.dump(database, folder)
    else:
        _require_free(place, force=False)
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_sqlite(source, place)
    return place


@contextmanager
def open_store(project: Project, doing: str) -> Iterator[Database]:
    """A project's database; faults of the machine while it is open become one sentence."""
    with explaining(doing, project.path), Database.open(project.recipe().database, project.path) as database:
        yield database


def _export_records(database: Database, folder: Path) -> Written:
    with database.snapshot() as moment:
        held = Held.read(Records(moment))
        if not held.prompts:
            raise DataError("the database holds nothing to export yet: rate, run or import something first")
        with moment.read() as connection:
            rows = dump.write_tables(connection, folder, dump.RECORDS)
    people = held.part(None, models=False)
    left: Counter[str] = Counter()
    try:
        resolved = [{"id": c.id, **c.to_dict()} for c in people.comparisons()]
        rows["comparisons"] = dump.write_jsonl(folder / "comparisons.jsonl", resolved)
    except DataError as problem:  # what was said is exported in any case
        left[f"file of comparisons: {problem}"] += 1
    dump.write_manifest(folder, "records", rows)
    return Written(sum(rows.values()), left)


def _and_unranked(rows: Rows, held: Held, format: str) -> Rows:
    yield from rows
    tool = rating_tools.FORMATS.get(format)
    if tool is None:
        raise DataError(f"the format '{format}' has no place for prompts that nobody has ranked")
    done = {j.prompt_id for j in held.judgements} | {
        o.prompt_id for o in held.originals if o.format == format
    }
    waiting: dict[str, list[Response]] = {}
    for response in held.responses.values():
        tests = held.prompts[response.prompt_id].source == gold.SOURCE or "round" in response.sampling
        if response.prompt_id not in done and not tests:
            waiting.setdefault(response.prompt_id, []).append(response)
    for prompt_id, responses in sorted(waiting.items()):
        if len(responses) > 1:
            yield rating_tools.unanswered_row(tool, held.prompts[prompt_id], responses)


def _require_free(target: Path, force: bool) -> None:
    """Raises `StoreError` if writing to the target would lose something that is there."""
    if target.is_dir() and any(target.iterdir()) and not (target / dump.MANIFEST).is_file():
        raise StoreError(f"{target} is a folder that holds other things: name another place")
    if target.exists() and not force and not (target.is_dir() and not any(target.iterdir())):
        raise StoreError(f"{target} is there already: name another place, or take it away first")


@contextmanager
def _whole_folder(target: Path, force: bool) -> Iterator[Path]:
    """An empty folder that takes the place of `target` when the block ends well, and else leaves it as it was."""
    _require_free(target, force)
    fresh = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        fresh.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
