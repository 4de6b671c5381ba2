"""Records into a project's database: an export made here, or rows in any format that `data` reads.

Every row is checked. One that cannot be used is set aside with file, line and reason, and the others are kept.
What is there already is the same record, so importing twice, or after a kill, doubles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Judgement, Original, Prompt, Record, Response
from tutelage.core.settings import Format
from tutelage.data.conversations import FieldProblem
from tutelage.data.formats import (
    parse_comparisons,
    parse_demonstrations,
    parse_prompts,
    set_aside,
    write_set_aside,
)
from tutelage.data.judged import Judged, Origin
from tutelage.data.load import source_name
from tutelage.data.packs import FILES, PREFIX, pack_file
from tutelage.data.rating_tools import read_original, task_format
from tutelage.data.rows import Row, SetAside, read_file, read_rows
from tutelage.data.tasks import Task
from tutelage.pipeline.datacheck import kind_of
from tutelage.preferences.desk import UNTRAINED
from tutelage.store import dump
from tutelage.store.database import Database
from tutelage.store.records import Records, Repository

R = TypeVar("R", bound=Record)
BATCH = 1000
RATING_TOOLS = ("auto", "argilla", "label-studio")


@dataclass
class Imported:
    """How many records of each kind were new, how many were there already, and what was set aside.

    `outdated` counts judgements that came with an earlier export of a row and are not in it any more.
    """

    new: dict[str, int] = field(default_factory=dict[str, int])
    there: dict[str, int] = field(default_factory=dict[str, int])
    set_aside: list[SetAside] = field(default_factory=list[SetAside])
    outdated: int = 0

    def count(self, kind: str, new: int, of: int) -> None:
        """Note that `new` records of `of` were new."""
        self.new[kind] = self.new.get(kind, 0) + new
        self.there[kind] = self.there.get(kind, 0) + of - new

    def lines(self) -> list[str]:
        """The counts for people, a line a kind."""
        kinds = [kind for kind in self.new if self.new[kind] or self.there[kind]]
        said = [f"{kind}: {self.new[kind]} new, {self.there[kind]} here already" for kind in kinds]
        if self.outdated:
            said.append(
                f"changed or taken back in the tool since: {self.outdated} judgements, which stay here"
            )
        return said


def import_into(
    database: Database,
    source: str,
    base: Path,
    *,
    kind: str | None = None,
    format: Format = "auto",
    limit: int | None = None,
) -> Imported:
    """Read `source` (an export's folder, a file, a folder of files, a hub data set, `pack:NAME`) and keep it.

    `kind` is demonstrations, comparisons or prompts, guessed from the first row for None. A backup goes into
    an empty database, all or nothing. Raises `DataError` if not one row can be used, else says in the result
    what could not.
    """
    if format not in get_args(Format):
        raise DataError(f"there is no format '{format}' to read: known are {', '.join(get_args(Format))}")
    folder = base / Path(source).expanduser()
    said = dump.read_manifest(folder) if folder.is_dir() else None
    if said is not None and said["tutelage"] == "backup":
        return Imported(new=dump.restore(folder, database), there=dict.fromkeys(said["rows"], 0))
    records = Records(database)
    if said is not None:
        found = _import_records(records, folder)
    else:
        found = _import_rows(records, source, base, kind or _kind(source, base), format, limit)
    if not any([*found.new.values(), *found.there.values()]):
        first = found.set_aside[0].sentence() if found.set_aside else "it holds no rows"
        raise DataError(f"nothing in {source} can be imported ({first})")
    return found


def keep_set_aside(project: Path, source: str, rows: Iterable[SetAside]) -> Path:
    """Write the rows that were set aside to a file of the project named after their source; where it is."""
    path = project / f"{source_name(source).replace('/', '-').replace(':', '-')}.set_aside.jsonl"
    write_set_aside(path, rows)
    return path


def _kind(source: str, base: Path) -> str:
    if source.startswith(PREFIX):
        raise DataError(f"{source} holds several kinds: say --as {', '.join(FILES)}")
    return kind_of(source, base)


def _import_rows(
    records: Records, source: str, base: Path, kind: str, format: Format, limit: int | None
) -> Imported:
    name, done = source_name(source), Imported()
    if source.startswith(PREFIX):
        path = pack_file(source, kind)
        rows: Iterator[Row | SetAside] = read_file(path, f"{source}/{path.name}")
    else:
        rows = read_rows(source, base=base)
    if kind == "demonstrations":
        parsed = parse_demonstrations(rows, format, name, limit)
        done.set_aside += parsed.set_aside
        _keep_demonstrations(records, parsed.records, done)
    elif kind == "prompts":
        asked = parse_prompts(rows, format, name, limit)
        done.set_aside += asked.set_aside
        _keep_prompts(records, asked.records, done)
    else:
        _import_judged(records, rows, format, Origin(name), limit, done)
    return done


def _import_judged(
    records: Records,
    rows: Iterable[Row | SetAside],
    format: Format,
    origin: Origin,
    limit: int | None,
    done: Imported,
) -> None:
    """Rows of rating tools are kept as they came too; the others become judgements alone."""
    stored = {r.id: r for r in records.responses.list()}
    plain: list[Row | SetAside] = []
    judged: list[Judged] = []
    kept: list[tuple[Original, Task]] = []
    for row in rows:
        if not isinstance(row, Row) or format not in RATING_TOOLS or task_format(row.values) is None:
            plain.append(row)
            continue
        if limit is not None and len(kept) >= limit:
            break
        try:
            original, task = read_original(row.values, origin, stored.get)
        except (FieldProblem, DataError) as problem:
            done.set_aside.append(set_aside(row, problem))
            continue
        kept.append((original, task))
        done.set_aside += [
            set_aside(row, answer) for answer in task.answers if isinstance(answer, FieldProblem)
        ]
    parsed = parse_comparisons(plain, format, origin, limit)
    done.set_aside += parsed.set_aside
    tasks = [task for _, task in kept]
    said = [answer for task in tasks for answer in task.answers if isinstance(answer, Judgement)]
    judged += parsed.records
    splits = _keep_prompts(records, [one.prompt for one in [*tasks, *judged]], done)
    responses = [r for task in tasks for r in task.responses.values()]
    _keep(records.responses, [*responses, *(r for one in judged for r in one.responses)], "responses", done)
    said += [one.judgement for one in judged]
    settled = [replace(j, split=splits[j.prompt_id] or j.split) for j in said]
    _keep_judgements(records, settled, done)
    before = {original.id: original.judgement_ids for original in records.originals.list()} if kept else {}
    for original, _ in kept:
        done.outdated += len({*before.get(original.id, ())} - {*original.judgement_ids, ""})
    _keep(records.originals, [original for original, _ in kept], "rows of a rating tool", done)


def _import_records(records: Records, folder: Path) -> Imported:
    """An export of records: each row must be what its id says, and what it belongs to must be there."""
    done = Imported()
    prompts = list(_rows_of(folder, "prompts", Prompt.from_dict, done))
    _keep_prompts(records, prompts, done)
    by_id = {p.id: p for p in records.prompts.list()}

    def belonging(record: Response | Judgement | Original) -> Any:
        if record.prompt_id not in by_id:
            raise FieldProblem(
                "prompt_id", f"the prompt {record.prompt_id} is neither here nor in the export"
            )
        return record

    def demonstration(values: dict[str, Any]) -> Demonstration:
        prompt = by_id.get(str(values.pop("prompt_id", "")))
        if prompt is None:
            raise FieldProblem("prompt_id", "its prompt is neither here nor in the export")
        return Demonstration.from_dict({"prompt": prompt, **values})

    def judgement(values: dict[str, Any]) -> Judgement:
        record = belonging(Judgement.from_dict(values))
        if missing := next((i for i in record.shown if i not in answers), None):
            raise FieldProblem("shown", f"the response {missing} is neither here nor in the export")
        return record

    responses = list(_rows_of(folder, "responses", lambda v: belonging(Response.from_dict(v)), done))
    _keep(records.responses, responses, "responses", done)
    answers = {r.id for r in records.responses.list()}
    told = list(_rows_of(folder, "demonstrations", demonstration, done))
    _keep(records.demonstrations, told, "demonstrations", done)
    _keep_judgements(records, list(_rows_of(folder, "judgements", judgement, done)), done)
    came = list(_rows_of(folder, "originals", lambda v: belonging(Original.from_dict(v)), done))
    _keep(records.originals, came, "rows of a rating tool", done)
    return done


def _rows_of(folder: Path, table: str, make: Callable[[dict[str, Any]], R], done: Imported) -> Iterator[R]:
    """The records in a file of an export; bad rows are set aside. A file that is not there holds none."""
    path = folder / f"{table}.jsonl"
    if not path.is_file() or not path.stat().st_size:
        return
    for row in read_file(path, str(path)):
        if isinstance(row, SetAside):
            done.set_aside.append(row)
            continue
        try:
            record = make(dict(row.values))
            if row.values.get("id") not in (None, record.id):
                raise FieldProblem(
                    "id", f"it says {row.values['id']}, and the content is that of {record.id}"
                )
            yield record
        except (FieldProblem, DataError) as problem:
            done.set_aside.append(set_aside(row, problem))
        except (TypeError, AttributeError, KeyError, ValueError):
            done.set_aside.append(set_aside(row, DataError("its fields are not what they should be")))


def _keep(repository: Repository[R], given: Sequence[R], kind: str, done: Imported) -> None:
    unique = list({record.id: record for record in given}.values())
    new = sum(repository.add(unique[start : start + BATCH]) for start in range(0, len(unique), BATCH))
    done.count(kind, new, len(unique))


def _keep_judgements(records: Records, said: Sequence[Judgement], done: Imported) -> None:
    """The next run learns from them, but for answers to questions with known answers and of an evaluation."""
    _keep(records.judgements, said, "judgements", done)
    records.give([j for j in said if j.split not in UNTRAINED.values()])


def _keep_prompts(records: Records, given: Sequence[Prompt], done: Imported) -> dict[str, str]:
    """Source, category and split of a prompt that is here already stay, where it has them. Returns the splits."""
    stored = {p.id: p for p in records.prompts.list()} if given else {}
    merged: list[Prompt] = []
    for prompt in {p.id: p for p in given}.values():
        here = stored.get(prompt.id, prompt)
        words = {
            name: getattr(here, name) or getattr(prompt, name) for name in ("source", "category", "split")
        }
        merged.append(replace(prompt, **words))
    _keep(records.prompts, merged, "prompts", done)
    return {prompt.id: prompt.split for prompt in merged}


def _keep_demonstrations(records: Records, given: Sequence[Demonstration], done: Imported) -> None:
    _keep_prompts(records, [d.prompt for d in given], done)
    stored = {p.id: p for p in records.prompts.list()}
    settled = [replace(d, prompt=stored[d.prompt.id]) for d in given]
    _keep(records.demonstrations, settled, "demonstrations", done)
