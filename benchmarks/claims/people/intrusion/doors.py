"""Getting further than one may: sessions that are none, roles, other people's work."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

from benchmarks.claims.people.intrusion.attack import Attack, Try
from benchmarks.claims.people.intrusion.scene import PASSWORD, Person, Scene


def forged_session(scene: Scene) -> Iterator[Try]:
    ada = scene.join()
    stored = hashlib.sha256(ada.session.encode()).hexdigest()
    forged = {
        "no session": "",
        "made up": secrets.token_urlsafe(32),
        "as the database keeps it": stored,
        "the token of writes": ada.csrf,
        "one character less": ada.session[:-1],
        "another case": ada.session.swapcase(),
        "a rater's name": ada.name.replace(" ", "_"),
        "everything": "%",
        "very long": "x" * 8000,
        "quoted, with more behind it": f'"{ada.session}\\101"',
    }
    for what, session in forged.items():
        answer = Person(scene, session=session).ask("GET", "/api/me")
        yield Try(what, answer.status == 200)


def ended_session(scene: Scene) -> Iterator[Try]:
    out, closed, old = scene.join(), scene.join(), scene.join()
    out.ask("POST", "/api/sign-out")
    accounts = scene.people.accounts
    accounts.deactivate(accounts.named(closed.name).id)
    _let_it_end(scene, old.session)
    for what, person in (("signed out", out), ("account closed", closed), ("twelve hours over", old)):
        for path in ("/api/me", "/rate", "/api/next"):
            yield Try(f"{what}: {path}", person.ask("GET", path).done)


def _let_it_end(scene: Scene, session: str) -> None:
    from sqlalchemy import update

    from tutelage.store import tables

    mine = tables.sessions.c.token == hashlib.sha256(session.encode()).hexdigest()
    with scene.people.database.begin() as connection:
        connection.execute(
            update(tables.sessions).where(mine).values(expires="2026-01-01T00:00:00.000000+00:00")
        )


def role_escalation(scene: Scene) -> Iterator[Try]:
    """Everybody asks, by every method, for each address that their role does not open."""
    from tutelage.web.doors import DOORS, NOBODY_ASKED

    people = {"rater": scene.join("rater"), "viewer": scene.join("viewer"), "nobody": scene.stranger()}
    victim = scene.people.accounts.named(scene.join().name).id
    bodies = {"/api/invitations": {"role": "owner"}, "/api/draft": {"task": "x", "content": {}}}
    for door, roles in DOORS.items():
        if roles is NOBODY_ASKED or door == "/_nicegui_ws/":
            continue
        path = f"{door}{victim}/deactivate" if door == "/api/raters/" else door
        for role, person in people.items():
            if role in roles:
                continue
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
                body = bodies.get(door) if method != "GET" else None
                before = scene.counts()
                answer = person.ask(method, path, json_body=body)
                yield Try(f"{role}: {method} {path}", answer.done or scene.counts() != before)


def roundabout_paths(scene: Scene) -> Iterator[Try]:
    """The owner's addresses written in other ways; what the overview and the list of raters say must not come."""
    rater = scene.join("rater")
    scene.join(name="Somebody Else")
    ways = [
        ("//overview", {}),
        ("/overview/", {}),
        ("/Overview", {}),
        ("/%6fverview", {}),
        ("/rate/../overview", {}),
        ("/rate/%2e%2e/overview", {}),
        ("/static/../api/raters", {}),
        ("/_nicegui/../api/raters", {}),
        ("/api/raters;x", {}),
        ("/api/raters%00", {}),
        ("/api/me/..%2fraters", {}),
        ("/api/raters?x=/api/me", {}),
        ("http://127.0.0.1/api/raters", {}),
        ("/api/me", {"X-Original-URL": "/api/raters", "X-Rewrite-URL": "/api/raters"}),
        ("/api/raters", {"X-Forwarded-Prefix": "/static", "X-Forwarded-For": "127.0.0.1"}),
        ("/api/raters", {"Authorization": "Bearer "}),
        ("/metrics", {"Authorization": "Bearer "}),
        ("/metrics", {"Authorization": "Bearer x"}),
    ]
    for path, headers in ways:
        answer = rater.ask("GET", path, headers=headers)
        told = "Somebody Else" in answer.text or "tutelage_judgements" in answer.text
        yield Try(f"{path} {' '.join(headers)}".strip(), told)


def other_peoples_work(scene: Scene) -> Iterator[Try]:
    ada, eve = scene.join(), scene.join()
    task = ada.task()
    writes = {
        "PUT /api/draft": {"task": task, "content": {"places": {"A": 1}}},
        "POST /api/submit": {"task": task, "ranking": [["A"], ["B"]]},
        "POST /api/report": {"task": task, "text": "wrong"},
    }
    for what, body in writes.items():
        before = scene.counts()
        answer = eve.ask(*what.split(), json_body=body)
        yield Try(f"{what} for another rater's task", answer.done or scene.counts() != before)
    yield Try("the task shows up at the other rater", eve.task() == task)


def session_fixation(scene: Scene) -> Iterator[Try]:
    ada = scene.join()
    planted = secrets.token_urlsafe(32)
    form = {"name": ada.name, "password": PASSWORD}
    for what, answer in {
        "form": Person(scene, session=planted).ask("POST", "/sign-in", form=form),
        "JSON": Person(scene, session=planted).ask("POST", "/api/sign-in", json_body=form),
        "invitation": Person(scene, session=planted).ask(
            "POST", scene.invite(), form={**form, "name": "Planted"}
        ),
    }.items():
        if answer.status not in (200, 303):
            raise RuntimeError(f"signing in failed: {answer.status} {answer.text[:200]}")
        given = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        kept = Person(scene, session=planted).ask("GET", "/api/me").status == 200
        yield Try(f"a planted session at the {what}", kept or given == planted)
    before = Person(scene, session=ada.session)
    again = before.ask("POST", "/api/sign-in", json_body=form)
    given = again.headers["set-cookie"].partition("=")[2].partition(";")[0]
    yield Try("a second sign-in goes on with the first session", given == ada.session)


def cookie_flags(scene: Scene) -> Iterator[Try]:
    ada = scene.join()
    answer = scene.stranger().ask("POST", "/api/sign-in", json_body={"name": ada.name, "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    yield Try("a script reads the session", "httponly" not in cookie)
    yield Try("another site's request carries the session", "samesite=strict" not in cookie)
    yield Try("the session outlives the browser", "max-age" in cookie or "expires" in cookie)


ATTACKS = (
    Attack(
        "forged session",
        "cookies that are made up, cut, quoted, or taken from the database",
        "`/api/me` answers with a name",
        "32 random bytes, of which only the hash is kept",
        forged_session,
    ),
    Attack(
        "ended session",
        "a session after signing out, after its account was closed, after its hours",
        "a page or a task comes back",
        "each request asks the database who it is",
        ended_session,
    ),
    Attack(
        "role escalation",
        "rater, viewer and stranger ask for every address that their role does not open, GET, POST, PUT, PATCH and "
        "DELETE, with their own valid token",
        "an answer below 400, or another row in a table",
        "one table of addresses and roles (`web/doors.py`)",
        role_escalation,
    ),
    Attack(
        "roundabout paths",
        "the owner's addresses with double slashes, dots, capitals, percent signs, and headers that proxies know",
        "a rater's name or a metric in the answer",
        "the gate looks at the decoded path, and what it does not know is not there",
        roundabout_paths,
    ),
    Attack(
        "another rater's work",
        "draft, answer and report for a task of somebody else",
        "a row in the store",
        "a task is looked up together with its rater",
        other_peoples_work,
    ),
    Attack(
        "session fixation",
        "a session that is in the browser before one signs in, by form, JSON and invitation",
        "the planted session is signed in",
        "signing in always makes a new session",
        session_fixation,
    ),
    Attack(
        "stolen cookie",
        "the cookie's flags",
        "no `HttpOnly`, no `SameSite=Strict`, or a date of expiry",
        "`set_session` in `web/doors.py`",
        cookie_flags,
    ),
)
