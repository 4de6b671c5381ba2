"""A project full of prompts to rank, and its pages served in a process of their own, as a user starts them.

The database is filled with what `sample` would have left and with accounts; all else goes over HTTP. Left out on
purpose: who rates (`crowd_over_http.py`).
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from benchmarks.claims.people.ledger import Given, Kept, KeptTask, Ranking
from benchmarks.claims.workplace import command, emptied, one_thread

KINDS = ("sqlite", "postgresql")
RESPONSES, OVERLAP = 4, 4
RECIPE = """name: Load
data: {{evaluation: evaluation}}
people: {{overlap: {overlap}}}
database: {database}
"""
FILLER = "It depends on what you want to reach, so begin with that and go on step by step, as time allows. "
START_SECONDS = 120.0
SAYS = "rating is open at "


@contextmanager
def database_of(kind: str) -> Iterator[str]:
    """The address of an empty database of this kind. Raises `benchmarks.postgres.NoPostgres`."""
    from benchmarks.postgres import fresh_postgres, postgres_server

    if kind == "sqlite":
        yield "sqlite:///tutelage.db"
        return
    with ExitStack() as stack:
        yield stack.enter_context(fresh_postgres(stack.enter_context(postgres_server())))


def make_project(kind: str, database: str, prompts: int, names: Sequence[str]) -> tuple[Path, str]:
    """A project in the workplace with prompts to rank and an account for each name; its folder and one password."""
    from tutelage.core.records import Artifact, Prompt, Response
    from tutelage.pipeline.people import open_people
    from tutelage.pipeline.project import Project
    from tutelage.store.records import Records

    folder = emptied(f"people-{kind}")
    recipe = RECIPE.format(overlap=OVERLAP, database=database)
    (folder / "tutelage.yaml").write_text(recipe, encoding="utf-8")
    (folder / "guidelines.md").write_text("# How to rank\n\nAsk what serves best.\n", encoding="utf-8")
    policy = Artifact("sft", {}, {}, seed=0, version="0", finished="2026-01-01T00:00:00+00:00")
    asked = [Prompt.of(f"How do I begin with task {n}? {FILLER}", split="reward") for n in range(prompts)]
    answers = [
        Response(prompt.id, f"{n}, answer {k}. {FILLER * 3}", policy.id, {"temperature": 0.7})
        for n, prompt in enumerate(asked)
        for k in range(RESPONSES)
    ]
    password = secrets.token_urlsafe(12)
    with open_people(Project(folder)) as people:
        records = Records(people.database)
        records.artifacts.add([policy])
        records.prompts.add(asked)
        records.responses.add(answers)
        for name in names:
            people.accounts.accept(people.accounts.invite("rater"), name, password)
    return folder, password


class Server:
    """`tutelage serve rate` in a project; it keeps its port when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._port = folder, 0
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[str] | None = None

    def start(self) -> str:
        """Start it and wait until it says its address, which is returned. Raises `RuntimeError` with its last words."""
        self._said = (self.folder / "server.log").open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            command(["serve", "rate", "--port", str(self._port)]),
            cwd=self.folder,
            env=one_thread({"PYTHONUNBUFFERED": "1"}),
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(SAYS):
                address = line.removeprefix(SAYS).split()[0]
                self._port = int(address.rpartition(":")[2])
                return address
        words = (self.folder / "server.log").read_text(encoding="utf-8").strip().splitlines()
        raise RuntimeError(f"the server did not start: {words[-1] if words else 'it said nothing'}")

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._gone()

    def stop(self) -> None:
        """As Ctrl + C or a service manager does it."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        self._process.kill()
        self._gone()

    def cpu_seconds(self) -> float:
        """Processor time that the running server has taken, in seconds; 0 where the system does not tell."""
        import os

        if self._process is None:
            return 0.0
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _gone(self) -> None:
        assert self._process is not None and self._process.stdout is not None and self._said is not None
        self._process.wait()
        self._process.stdout.close()
        self._said.close()
        self._process = None


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Server, str]]:
    """A server that is stopped afterwards, and its address."""
    server = Server(folder)
    try:
        yield server, server.start()
    finally:
        server.stop()


def read_kept(folder: Path) -> Kept:
    """What the project's database has, with responses as texts."""
    from sqlalchemy import select

    from tutelage.pipeline.project import Project
    from tutelage.store import tables
    from tutelage.store.database import Database
    from tutelage.store.people import given_to_runs
    from tutelage.store.records import Records

    recipe = Project(folder).recipe()
    with Database.open(recipe.database, folder) as opened, opened.snapshot() as database:
        records = Records(database)
        texts = {one.id: one.text for one in records.responses.list()}
        judgements = {one.id: one for one in records.judgements.list()}
        with database.read() as connection:
            given = given_to_runs(connection)
            names = {row.id: row.name for row in connection.execute(select(tables.raters))}
            rows = connection.execute(select(tables.tasks)).all()
            drafts = {row.task_id: row.content for row in connection.execute(select(tables.drafts))}

    def as_texts(ranking: Sequence[Sequence[str]]) -> Ranking:
        return tuple(tuple(sorted(texts[i] for i in group)) for group in ranking)

    tasks: dict[str, KeptTask] = {}
    for row in rows:
        judgement = judgements.get(row.judgement_id)
        # What is no work is on known answers, and trains nothing; work that no run is given would be lost.
        put_to_use = judgement is not None and (row.kind != "work" or judgement.id in given)
        answer = as_texts(judgement.ranking) if judgement is not None and put_to_use else None
        tasks[row.id] = KeptTask(names[row.rater_id], row.state == "done", answer)
    all_given = [Given(one.rater, as_texts(one.ranking)) for one in judgements.values()]
    return Kept(tasks, drafts, all_given)
