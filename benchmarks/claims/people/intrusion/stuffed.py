"""What is put into requests: paths out of the folder, SQL, and far too much of everything."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from benchmarks.claims.people.intrusion.attack import Attack, Try
from benchmarks.claims.people.intrusion.scene import PASSWORD, Person, Scene

SECRETS = ("root:", "people: {", "How to rank", "def make_app", "SQLite format", "import annotations")
SQL = (
    "' OR '1'='1",
    "' OR 1=1 --",
    '" OR ""="',
    "'; DROP TABLE raters; --",
    "'; DELETE FROM judgements; --",
    "' UNION SELECT token, 1, 1, 1, 1, 1, 1, 1 FROM sessions --",
    "1); UPDATE raters SET role='owner'; --",
    "%",
    "\\",
)
MOST = 256 * 1024


def path_traversal(scene: Scene) -> Iterator[Try]:
    up = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%252f", "..\\", "..%5c", "....//", "%c0%ae%c0%ae/")
    files = ("etc/passwd", "tutelage.yaml", "guidelines.md", "tutelage.db", "app.py")
    stranger = scene.stranger()
    for door in ("/static/", "/_nicegui/3.18.0/static/", "/_nicegui/3.18.0/components/", "/invite/"):
        for step in up:
            for depth, file in zip((12, 1, 1, 1, 1), files, strict=True):
                answer = stranger.ask("GET", f"{door}{step * depth}{file}")
                yield Try(f"{door}{step}…{file}", any(s in answer.text for s in SECRETS))
    here = str(scene.people.folder)
    for path in (f"/static/{here}/tutelage.yaml", f"/static/{quote(here, safe='')}%2ftutelage.yaml"):
        yield Try("an absolute path below /static", "people: {" in stranger.ask("GET", path).text)
    for path in (
        "/static/style.css%00.js",
        "/static/",
        "/static/.",
        "/static/theme.py",
        "/.git/config",
        "/.env",
    ):
        yield Try(path, stranger.ask("GET", path).status == 200)


def sql_injection(scene: Scene) -> Iterator[Try]:
    """In every field that reaches the database. Text must come back as it went, and nothing else may change."""
    victim, owner = scene.join(), scene.join("owner")
    for n, sql in enumerate(SQL):
        ada = scene.join()
        task, before = ada.task(), scene.counts()
        name = {"name": sql, "password": "x"}
        word = {"name": victim.name, "password": sql}
        away = {"X-Forwarded-For": f"10.8.{n}.1"}
        stranger = scene.stranger()
        signed = [stranger.ask("POST", "/sign-in", form=form, headers=away) for form in (name, word)]
        yield Try(f"name and password: {sql}", any("set-cookie" in answer.headers for answer in signed))
        cookie = Person(scene, session=quote(sql, safe="' =-%;"))
        yield Try(f"session: {sql}", cookie.ask("GET", "/api/me").status == 200)
        opened = stranger.ask("GET", f"/invite/{quote(sql, safe='')}")
        yield Try(f"invitation: {sql}", opened.status == 200)
        closed = owner.ask("POST", f"/api/raters/{quote(sql, safe='')}/deactivate")
        taken = ada.ask("POST", "/api/submit", json_body={"task": sql, "ranking": [["A"], ["B"]]})
        yield Try(f"ids: {sql}", closed.done or taken.done or scene.counts() != before)
        invited = owner.ask("POST", "/api/invitations", json_body={"name": sql, "groups": {sql: sql}})
        draft = {"task": task, "content": {sql: sql}}
        kept = ada.ask("PUT", "/api/draft", json_body=draft)
        given = {"task": task, "ranking": [["A"], ["B"]], "reason": sql, "better": sql}
        done = ada.ask("POST", "/api/submit", json_body=given)
        if not (invited.status == kept.status == done.status == 200):
            raise RuntimeError(f"a text was refused: {invited.text} {kept.text} {done.text}")
        more = {"invitations": 1, "drafts": 0, "judgements": 1, "demonstrations": 1}
        wanted = {name: rows + more.get(name, 0) for name, rows in before.items()}
        (said,) = [j for j in _judgements(scene) if j.rater == ada.name]
        yield Try(f"texts: {sql}", scene.counts() != wanted or said.reason != sql)


def _judgements(scene: Scene):
    from tutelage.store.records import Records

    return Records(scene.people.database).judgements.list()


def too_much(scene: Scene) -> Iterator[Try]:
    """Bodies, fields, headers and connections beyond any use. Through is what is taken, or what stops the server."""
    ada = scene.join()
    task = ada.task()
    long = "x" * 8001
    bodies: dict[str, dict[str, object]] = {
        "a reason": {"task": task, "ranking": [["A"], ["B"]], "reason": long},
        "a better answer": {"task": task, "ranking": [["A"], ["B"]], "better": long},
        "a ranking": {"task": task, "ranking": [["A"]] * 1000},
        "a tie": {"task": task, "ranking": [["A"] * 1000, ["B"]]},
        "unknown fields": {"task": task, "ranking": [["A"], ["B"]], "rater": "owner"},
        "seconds": {"task": task, "ranking": [["A"], ["B"]], "seconds": 1e300},
        "the same twice": {"task": task, "ranking": [["A"], ["A"]]},
    }
    for what, body in bodies.items():
        before = scene.counts()
        answer = ada.ask("POST", "/api/submit", json_body=body)
        yield Try(f"too much in {what}", answer.done or scene.counts() != before)
    deep = b'{"task":"%s","content":{"a":%s%s}}' % (task.encode(), b"[" * 400, b"]" * 400)
    as_json = {"Content-Type": "application/json"}
    answer = ada.ask("PUT", "/api/draft", body=deep, headers=as_json)
    yield Try("a draft 400 deep", answer.done or ada.ask("GET", "/api/next").status != 200)
    names = {"name": "x" * 81, "password": PASSWORD}
    joined = scene.stranger().ask("POST", scene.invite(), form=names, headers={"X-Forwarded-For": "10.9.0.1"})
    yield Try("a name of 81 characters", "set-cookie" in joined.headers)
    for path in ("/api/draft", "/api/sign-in", "/sign-in", "/api/submit"):
        method = "PUT" if path == "/api/draft" else "POST"
        yield Try(f"a body of 64 MiB to {path}", _flood(scene, ada, method, path, chunked=False))
        yield Try(f"a body without end to {path}", _flood(scene, ada, method, path, chunked=True))
    upload = b'--b\r\nContent-Disposition: form-data; name="name"; filename="x"\r\n\r\n'
    upload += b"x" * (MOST + 1) + b"\r\n--b--\r\n"
    sent = ada.ask(
        "POST", "/sign-in", body=upload, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    yield Try("a file to a form", sent.done)
    header = ada.ask("GET", "/api/me", headers={"X-Long": "x" * 60_000})
    many = ada.ask("GET", "/api/me", headers={f"X-{n}": "x" * 200 for n in range(90)})
    yield Try(
        "60 kB of a header, and 90 headers: the server is gone", not scene.alive() or header.status >= 500
    )
    yield Try("90 headers", many.status >= 500)
    yield Try("50 requests that never end: nobody else is answered", not _answers_beside(scene, 50))


def _flood(scene: Scene, person: Person, method: str, path: str, chunked: bool) -> bool:
    """Send on until the server answers or closes; through if it read 2 MiB, or answered below 400."""
    host = urlsplit(scene.address)
    scene.requests += 1
    head = f"{method} {path} HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Cookie: tutelage_session={person.session}\r\nX-CSRF-Token: {person.csrf}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {64 << 20}\r\n\r\n"
    piece = b"x" * 65536
    piece = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
        connection.sendall(head.encode())
        status = _status(connection, 0.3)
        with contextlib.suppress(OSError):
            for _ in range(64):
                if status is not None:
                    break
                connection.sendall(piece)
                status = _status(connection, 0.02)
        status = status if status is not None else _status(connection, 5)
    return status != 413 or not scene.alive()


def _status(connection: socket.socket, seconds: float) -> int | None:
    connection.settimeout(seconds)
    try:
        words = connection.recv(4096).split(b" ", 2)
        return int(words[1]) if len(words) > 1 else 0
    except (TimeoutError, ConnectionError):
        return None


def _answers_beside(scene: Scene, count: int) -> bool:
    host = urlsplit(scene.address)
    begun = b"POST /api/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            held = stack.enter_context(socket.create_connection((host.hostname, host.port), timeout=10))
            held.sendall(begun)
        return scene.alive()


ATTACKS = (
    Attack(
        "path traversal",
        "`..` in nine spellings and absolute paths behind every address that serves files",
        "a line of the project's files, of our source, or of `/etc/passwd`",
        "files are named one by one, below one folder",
        path_traversal,
    ),
    Attack(
        "SQL injection",
        f"{len(SQL)} texts as name, password, session, invitation, task, rater, group, draft, reason and better answer",
        "somebody is signed in, a row too many or too few, a text that comes back changed",
        "bound parameters (SQLAlchemy) throughout",
        sql_injection,
    ),
    Attack(
        "oversized requests",
        "bodies of 64 MiB and without end, a file to a form, long fields, lists 400 deep, long headers, 50 requests "
        "that never end",
        "it is taken, or somebody else is not answered",
        "256 KiB a request, a length for every field, 16 levels",
        too_much,
    ),
)
