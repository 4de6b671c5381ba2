"""What is attacked: a project of real prompts with `tutelage serve rate` before it, people signed in, the store.

Requests go over HTTP as anybody may send them, with paths and headers as they are given. Left out on purpose: a
proxy with TLS, which is the user's own.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from benchmarks.claims.workplace import command, emptied, one_thread

if TYPE_CHECKING:
    from tutelage.pipeline.people import People

PASSWORD = "correct horse battery staple"
COOKIE = "tutelage_session"
RECIPE = """# Made for the claims about the pages
name: Kitchen table
data: {{evaluation: evaluation}}
people: {{overlap: {overlap}, calibration: {practice}, gold_rate: 0.0}}
"""
GUIDELINES = "# How to rank\n\nAsk **what serves best**.\n\n- Read to the end.\n- Say why in a sentence.\n"
Conversation = Sequence[Mapping[str, str]]
Asked = Sequence[tuple[Conversation, Sequence[str]]]
"""Prompts, each with the responses to rank."""


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in small letters (the last of a name), body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def done(self) -> bool:
        """Whether it was done, or led on: all but a refusal and the way to the sign-in page."""
        return self.status < 400 and not self.headers.get("location", "").startswith("/sign-in")


@dataclass
class Person:
    """Somebody with a session, or a stranger without one. `csrf` is the token of their writes."""

    scene: Scene
    name: str = ""
    session: str = ""
    csrf: str = ""

    def ask(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request, as this person's browser would send it; `headers` replace what it would say itself."""
        said = {"Cookie": f"{COOKIE}={self.session}"} if self.session else {}
        if self.csrf and method not in ("GET", "HEAD"):
            said["X-CSRF-Token"] = self.csrf
        if json_body is not None:
            body, said["Content-Type"] = json.dumps(json_body).encode(), "application/json"
        if form is not None:
            body, said["Content-Type"] = (
                urlencode(form).encode("utf-8", "replace"),
                "application/x-www-form-urlencoded",
            )
        said |= headers or {}
        return self.scene.send(method, path, {k: v for k, v in said.items() if v}, body)

    def task(self) -> str:
        """The name of the task that this person has open."""
        answer = self.ask("GET", "/api/next")
        found = json.loads(answer.body) if answer.status == 200 else None
        if not found:
            raise RuntimeError(f"there is no task: {answer.status} {answer.text[:200]}")
        return found["task"]


@dataclass
class Scene:
    """A served project. `people` opens its store beside the server: what is written there is what counts."""

    address: str
    people: People
    made: int = 0
    requests: int = field(default=0)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """A request to the letter: nothing is normalised."""
        self.requests += 1
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=120)
        connection._validate_path = lambda _: None  # type: ignore[attr-defined]
        try:
            connection.request(method, path, body, dict(headers))
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def stranger(self) -> Person:
        return Person(self)

    def join(self, role: str = "rater", name: str = "", groups: Mapping[str, str] | None = None) -> Person:
        """Somebody new with an account and a session."""
        from tutelage.web.shield import csrf_of

        self.made += 1
        name = name or f"{role.title()} {self.made}"
        accounts = self.people.accounts
        accounts.accept(accounts.invite(role, groups=groups), name, PASSWORD)
        session = accounts.login(name, PASSWORD)
        return Person(self, name, session, csrf_of(session))

    def invite(self, role: str = "rater", name: str = "") -> str:
        """The path of an open invitation."""
        return f"/invite/{self.people.accounts.invite(role, name=name)}"

    def counts(self) -> dict[str, int]:
        """How many rows each table of people's has: an attack that writes shows here."""
        from sqlalchemy import func, select

        from tutelage.store import tables

        kept = ("raters", "invitations", "judgements", "demonstrations", "drafts", "problems")
        with self.people.database.read() as connection:
            rows = {
                k: connection.scalar(select(func.count()).select_from(getattr(tables, k))) or 0 for k in kept
            }
        active = sum(one.active for one in self.people.accounts.raters())
        return {**rows, "active": active}

    def alive(self) -> bool:
        return self.stranger().ask("GET", "/healthz").status == 200


def shipped(category: str = "") -> list[dict[str, Any]]:
    """The rankings of the starter pack, all or of one category: prompt, responses, ranking, reason."""
    from tutelage.data.packs import FILES, pack_folder

    lines = (pack_folder("pack:starter") / FILES["comparisons"]).read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if category in ("", row["category"])]


def starter(count: int) -> Asked:
    """Prompts of the shipped rankings with their responses."""
    return [(row["prompt"], row["responses"]) for row in shipped()[:count]]


def with_nine(asked: Asked) -> Asked:
    """The same, the last prompt with nine responses: its own and other prompts'."""
    conversation, own = asked[-1]
    others = [text for row in shipped()[len(asked) :] for text in row["responses"] if text not in own]
    return [*asked[:-1], (conversation, [*own, *others][:9])]


def make_project(folder: Path, asked: Asked, practice: int = 0, overlap: int = 50) -> Path:
    """A project as `sample` leaves it: prompts, each with the responses of one policy."""
    from tutelage.core.records import Artifact, Message, Prompt, Response
    from tutelage.store.database import Database
    from tutelage.store.records import Records

    (folder / "tutelage.yaml").write_text(RECIPE.format(practice=practice, overlap=overlap), encoding="utf-8")
    (folder / "guidelines.md").write_text(GUIDELINES, encoding="utf-8")
    policy = Artifact("sft", {}, {}, seed=1, version="0", finished="2026-01-01T00:00:00+00:00")
    with Database.open("sqlite:///tutelage.db", folder) as database:
        records = Records(database)
        records.artifacts.add([policy])
        for conversation, texts in asked:
            turns = tuple(Message(turn["role"], turn["content"]) for turn in conversation)  # type: ignore[arg-type]
            prompt = Prompt(turns, split="reward")
            records.prompts.add([prompt])
            records.responses.add([Response(prompt.id, t, policy.id, {"temperature": 0.7}) for t in texts])
    return folder


@contextmanager
def served(name: str, asked: Asked, practice: int = 0, overlap: int = 50) -> Iterator[Scene]:
    """A project in the workplace, served by the command itself. Raises `RuntimeError` if it does not start."""
    from tutelage.pipeline.people import open_people
    from tutelage.pipeline.project import Project

    folder = make_project(emptied(name), asked, practice, overlap)
    process = subprocess.Popen(
        command(["serve", "rate", "--port", "0"]),
        cwd=folder,
        env=one_thread({"PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+", said)
        if found is None:
            raise RuntimeError(f"the server did not start: {said.strip() or 'it said nothing'}")
        with open_people(Project(folder)) as people:
            yield Scene(found[0], people)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
