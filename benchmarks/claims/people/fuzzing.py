"""Every endpoint with every kind of request (schemathesis): whatever is sent, the answer is never a 500.

The document that the server gives its owner, with the pages beside it that it does not list; the boundary cases that
schemathesis derives, random ones, and bodies written by hand that are hard to come by at random. Real task names,
invitations and tokens are put in, so that requests get beyond the first refusal.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.claims.people.intrusion.scene import COOKIE, PASSWORD, Person, Scene

if TYPE_CHECKING:
    from tutelage.preferences.accounts import Rater

AT_ONCE = 6
"""People of a role who take turns: one alone would run into the limit of writes."""
TEXT = {"type": "string"}
PAGES: dict[str, tuple[str, ...]] = {
    "/rate": (),
    "/overview": (),
    "/api/openapi.json": (),
    "/favicon.ico": (),
    "/static/{name}": ("name",),
    "/_nicegui/{version}/{name}": ("version", "name"),
    "/_nicegui_ws/socket.io/": (),
}
"""What the document does not list, with the parts of its address."""
SOCKET = {"EIO": {"enum": ["4", "3", ""]}, "transport": {"enum": ["polling", "websocket", "x"]}, "sid": TEXT}
ANYWHERE = ("Accept-Language", "Referer", "Range", "X-Forwarded-Proto", "Authorization", "If-None-Match")
DEEP, LONG = 400, 100_000
ODD: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b'{"',
    b"\xff\xfe\x00",
    b'{"task":"%T","content":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}",
    b'{"task":"%T","content":{"a":' + b"[" * LONG + b"]" * LONG + b"}}",
    b'{"task":"%T","content":{"a":NaN,"b":-Infinity,"c":1e999}}',
    b'{"task":"%T","content":{"a":' + b"9" * 4000 + b"}}",
    b'{"task":"%T","content":{"\\ud800":"\\u0000"}}',
    b'{"task":"%T","content":{"places":[1],"scores":[[]],"reason":{},"better":3,"seconds":"x","outcome":[]}}',
    b'{"task":"%T","content":{}}',
    b'{"task":"%T","ranking":[["A"],["B"]],"seconds":NaN}',
    b'{"task":"%T","ranking":[["I"],["A","A"],[]],"scores":{"I":{"helpful":7}}}',
    b'{"task":"%T","ranking":[["A"],["B"]],"reason":"\\ud800","better":"\\u0000"}',
    b'{"task":"%T","text":"\\u0000"}',
    b'{"role":"rater","name":"\\u0000","groups":{"\\ud800":"\\u0000"},"days":1e400}',
    b'{"name":"\\ud800","password":"\\udfff"}',
    b"name=%00&password=%ED%A0%80&next=%FF&csrf=%00",
)
TYPES = (
    "application/json",
    "application/json; charset=utf-99",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "",
)


@dataclass
class Heard:
    """How many answers of each status, and what was answered with 500 or more."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note(self, method: str, path: str, status: int, role: str) -> None:
        self.statuses[status] += 1
        if status >= 500:
            self.failures.append(f"{status} for {role}: {method} {path}")

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())


class Senders:
    """The people of one role, taking turns; whoever signed out signs in again."""

    def __init__(self, scene: Scene, role: str, seed: int) -> None:
        self.scene, self.role, self.draw = scene, role, random.Random(seed)
        known = role != "nobody"
        self.people = [
            scene.join(role) if known else scene.stranger() for _ in range(AT_ONCE if known else 1)
        ]
        self.raters: dict[str, Rater] = {one.name: one for one in scene.people.accounts.raters()}
        self._tasks: dict[str, str] = {}
        self._turn = 0

    def next(self) -> Person:
        self._turn += 1
        return self.people[self._turn % len(self.people)]

    def renew(self, person: Person) -> None:
        """Sign in again after a request that may have ended the session."""
        from tutelage.web.shield import csrf_of

        if person.session and self.scene.people.accounts.who(person.session) is None:
            person.session = self.scene.people.accounts.login(person.name, PASSWORD)
            person.csrf = csrf_of(person.session)

    def task(self, person: Person) -> str:
        """The task the person has open, or had last."""
        if self.role in ("owner", "rater"):
            task = self.scene.people.desk.next(self.raters[person.name])
            if task is not None:
                self._tasks[person.name] = task.id
        return self._tasks.get(person.name, "made-up")

    def part(self, name: str, given: Any) -> Any:
        """A part of an address: every other time one that is there."""
        if self.draw.random() < 0.5 and name == "token":
            return self.scene.invite().rpartition("/")[2]
        return given

    def address(self) -> str:
        """Where the request comes from, as a proxy on this machine would say it."""
        return ".".join(str(self.draw.randrange(1, 250)) for _ in range(4))


def document(owner: Person) -> dict[str, Any]:
    """The server's own document, with the pages that it does not list and headers that anybody may send."""
    found = json.loads(owner.ask("GET", "/api/openapi.json").body)
    for path, parts in PAGES.items():
        named = [{"name": part, "in": "path", "required": True, "schema": TEXT} for part in parts]
        found["paths"][path] = {"get": {"parameters": named, "responses": {"200": {"description": "a page"}}}}
    socket = found["paths"]["/_nicegui_ws/socket.io/"]
    socket["get"]["parameters"] = [{"name": k, "in": "query", "schema": v} for k, v in SOCKET.items()]
    body = {"content": {"text/plain": {"schema": TEXT}}}
    socket["post"] = {**socket["get"], "requestBody": body}
    for operations in found["paths"].values():
        for operation in operations.values():
            anywhere = [{"name": name, "in": "header", "schema": TEXT} for name in ANYWHERE]
            anywhere.append({"name": "q", "in": "query", "schema": TEXT})
            operation["parameters"] = [*operation.get("parameters", []), *anywhere]
    return found


def fuzz(scene: Scene, role: str, examples: int, seed: int) -> Heard:
    """All endpoints as one role. Raises `RuntimeError` if an endpoint could not be asked at all."""
    heard = Heard()
    listed = document(scene.join("owner"))
    senders = Senders(scene, role, seed)
    by_hand(senders, listed, heard)
    asked = by_schema(senders, listed, heard, examples, seed)
    missing = set(listed["paths"]) - asked
    if missing:
        raise RuntimeError(f"never asked for {sorted(missing)}")
    return heard


def by_hand(senders: Senders, listed: dict[str, Any], heard: Heard) -> None:
    """The odd bodies to every write; after each the rater's next task must still come."""
    for path, operations in listed["paths"].items():
        for method in operations:
            if method == "get":
                continue
            for n, odd in enumerate(ODD):
                person = senders.next()
                task = senders.task(person).encode()
                where = path.replace("{token}", "x").replace("{rater_id}", "x")
                kind = TYPES[0] if odd[:1] in b'{["n' and n % 4 else TYPES[n % len(TYPES)]
                headers = {"Content-Type": kind, "X-Forwarded-For": senders.address()}
                for verb, to, body in (
                    (method.upper(), where, odd.replace(b"%T", task)),
                    ("GET", "/api/next", None),
                ):
                    answer = person.ask(verb, to, body=body, headers=headers)
                    heard.note(verb, to, answer.status, senders.role)
                senders.renew(person)


def by_schema(senders: Senders, listed: dict[str, Any], heard: Heard, examples: int, seed: int) -> set[str]:
    """What schemathesis thinks of. Returns the addresses that it asked for."""
    import schemathesis
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import from_schema

    settings = {
        "seed": seed,
        "base-url": senders.scene.address,
        "continue-on-failure": True,
        "request-timeout": 30,
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "checks": {"enabled": False, "not_a_server_error": {"enabled": True}},
        "phases": {"stateful": {"enabled": False}, "examples": {"enabled": False}},
    }
    asked: set[str] = set()
    sent: dict[str, Person] = {}

    def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        person = sent["last"] = senders.next()
        asked.add(case.path)
        said = {"X-Forwarded-For": senders.address()}
        if person.session:
            case.cookies = {**(case.cookies or {}), COOKIE: person.session}
            said["X-CSRF-Token"] = person.csrf
        case.headers = {**(case.headers or {}), **said}
        if case.path_parameters:
            case.path_parameters = {k: senders.part(k, v) for k, v in case.path_parameters.items()}
        if isinstance(case.body, dict) and "task" in case.body and senders.draw.random() < 0.8:
            case.body = {**case.body, "task": senders.task(person)}
        if isinstance(case.body, dict) and "csrf" in case.body and senders.draw.random() < 0.5:
            case.body = {**case.body, "csrf": person.csrf}

    def after_call(context: Any, case: Any, response: Any) -> None:
        heard.note(case.method, case.path, response.status_code, senders.role)
        if "sign-out" in case.path:
            senders.renew(sent["last"])

    config = SchemathesisConfig.from_dict(settings)
    with _hooks(schemathesis, before_call, after_call):
        for event in from_schema(schemathesis.openapi.from_dict(listed, config=config)).execute():
            if hasattr(event, "info"):
                raise RuntimeError(f"schemathesis: {getattr(event.info, '_error', event.info)}")
    return asked


@contextmanager
def _hooks(schemathesis: Any, *hooks: Any) -> Iterator[None]:
    for hook in hooks:
        schemathesis.hook(hook)
    try:
        yield
    finally:
        for hook in hooks:
            schemathesis.hooks.unregister(hook)
