"""Each attack gets through where what stops it is taken away, and fuzzing hears a 500; else neither shows anything."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from argon2 import PasswordHasher

from benchmarks.claims.people import fuzzing, security
from benchmarks.claims.people.intrusion import doors, entry, forged, stuffed
from benchmarks.claims.people.intrusion.scene import Scene, make_project, starter
from benchmarks.claims.people.intrusion.scripts import CHROMIUM, KINDS, Watcher, browser, payloads
from benchmarks.claims.people.intrusion.table import ATTACKS, PAGE, written
from tutelage.pipeline.people import open_people
from tutelage.pipeline.project import Project
from tutelage.preferences import desk as desks
from tutelage.preferences.accounts import Accounts
from tutelage.store import people as rows
from tutelage.web import api, limits
from tutelage.web import doors as gate
from tutelage.web.app import make_app
from tutelage.web.pages import sign_in
from tutelage.web.site import Site

WEAK_HASHES = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@contextmanager
def answering(app: Any) -> Iterator[str]:
    """The address at which an application answers, in a thread of this process."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@contextmanager
def scene_of(folder: Path, shielded: bool = True) -> Iterator[Scene]:
    """A small project served from here, so that what protects it can be taken away; without NiceGUI's pages."""
    with open_people(Project(make_project(folder, starter(3)))) as people:
        people.accounts._hasher = WEAK_HASHES
        site = Site("Test", people.folder, people.database, people.accounts, people.desk)
        app = make_app(site, pages=False)
        with answering(app if shielded else app.app) as address:  # type: ignore[attr-defined]
            yield Scene(address, people)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_of(tmp_path) as made:
        yield made


def through(tries: Iterator[Any]) -> list[str]:
    return [one.what for one in tries if one.through]


@pytest.mark.parametrize(
    "attack",
    [
        doors.forged_session,
        doors.ended_session,
        doors.role_escalation,
        doors.roundabout_paths,
        doors.other_peoples_work,
        doors.session_fixation,
        doors.cookie_flags,
        entry.names_found_out,
        entry.invitations,
        forged.forged_writes,
        forged.forged_forms,
        forged.lures,
        stuffed.sql_injection,
    ],
)
def test_an_attack_does_not_get_through(scene: Scene, attack: Any) -> None:
    tries = list(attack(scene))
    assert tries and through(iter(tries)) == []


def test_guesses_at_a_password_are_held_back_in_every_spelling(scene: Scene) -> None:
    assert through(entry.password_guessing(scene)) == []


def test_without_limits_guessing_gets_through(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.Limiter, "wait", lambda *_: 0.0)
    assert len(through(entry.password_guessing(scene))) == 3


def test_a_limit_for_each_spelling_lets_guesses_through(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "name_key", lambda name: name.strip().casefold())
    assert [what for what in through(entry.password_guessing(scene)) if "spellings" in what]


def test_without_roles_escalation_gets_through(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "roles_for", lambda _: gate.EVERYBODY)
    got = through(doors.role_escalation(scene))
    assert {"rater: POST /api/invitations", "viewer: GET /api/next", "rater: GET /metrics"} <= set(got)
    assert not any(what.startswith("nobody") for what in got)


def test_without_looking_at_the_rater_other_peoples_work_is_open(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anybodys(connection: Any, task_id: str, rater: Any, lock: bool = False) -> Any:
        from sqlalchemy import select

        return connection.execute(select(rows.tables.tasks).where(rows.tables.tasks.c.id == task_id)).first()

    monkeypatch.setattr(desks, "_own", anybodys)
    assert len(through(doors.other_peoples_work(scene))) == 3


def test_a_session_that_is_remembered_outlives_its_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Any] = {}
    login, ask = Accounts.login, Accounts.who

    def remember(self: Accounts, name: str, password: str) -> str:
        token = login(self, name, password)
        known[token] = ask(self, token)
        return token

    monkeypatch.setattr(Accounts, "login", remember)
    monkeypatch.setattr(Accounts, "who", lambda self, session: known.get(session))
    got = through(doors.ended_session(scene))
    assert len(got) == 6  # all but /rate, which is not served here


def test_without_the_token_forged_writes_get_through(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "csrf_holds", lambda *_: True)
    got = through(forged.forged_writes(scene))
    assert "POST /api/invitations with no token" in got
    assert "PUT /api/draft with another session's token" in got
    assert not [what for what in got if "origin" in what or "cross-site" in what]


def test_without_the_shield_other_sites_write_and_frame(tmp_path: Path) -> None:
    with scene_of(tmp_path, shielded=False) as scene:
        got = through(forged.forged_writes(scene))
        assert "POST /api/invitations with another site's origin" in got
        assert "POST /api/invitations with no token" not in got
        assert "sign-in from another site" in through(forged.forged_forms(scene))
        framed = through(forged.frames(scene))
        assert "/sign-in in a frame" in framed and "/guidelines stays in a cache" in framed


def test_a_lure_leads_away_where_next_may_be_anything(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "_OWN_PAGE", re.compile(r".*", re.DOTALL))
    got = through(forged.lures(scene))
    assert "after signing in: '//evil.example'" in got and "after signing in: 'https://evil.example'" in got


@pytest.mark.slow
def test_fuzzing_hears_what_goes_wrong_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = fuzzing.fuzz(scene, "rater", examples=1, seed=1)
    assert heard.failures == [] and heard.requests > 500
    assert heard.statuses[200] > 50 and heard.statuses[422] > 50
    monkeypatch.setattr(rows, "require_plain", lambda _: None)
    again, senders = fuzzing.Heard(), fuzzing.Senders(scene, "rater", 2)
    fuzzing.by_hand(senders, {"paths": {"/api/draft": {"put": {}}}}, again)
    assert "500 for rater: GET /api/next" in again.failures


def test_every_claim_has_a_row_and_every_attack_a_line() -> None:
    assert [claim.name for claim in security.CLAIMS] == ["fuzzing", "attacks"]
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) > 15
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run python -m benchmarks.claims.people.intrusion.table"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: install it, or name it in TUTELAGE_CHROMIUM")
def test_the_browser_notices_what_became_a_page(tmp_path: Path) -> None:
    from benchmarks.claims.people.pages import Looks

    with scene_of(tmp_path) as scene, browser() as opened:
        watcher = Watcher(opened, scene)
        watcher.page.set_content("<p>" + "\n".join(payloads("prompt")))
        got = through(watcher.tries("a page", "prompt"))
        # Two need a template to run in, and the comment is one here.
        missed = {f"{kind} in a page" for kind in ("Vue", "a template", "a comment")}
        assert {f"{kind} in a page" for kind in KINDS} - set(got) <= missed
        assert "prompt-1" in watcher.page.evaluate("window.hacked")
        calm = Watcher(opened, scene)
        calm.page.evaluate("texts => document.body.innerText = texts", "\n".join(payloads("prompt")))
        assert through(calm.tries("a text", "prompt")) == []
        with pytest.raises(RuntimeError, match="nothing was tried"):
            list(calm.tries("a text", "response"))
        looks = Looks("light")
        watcher.page.set_content("<html lang=en><title>x</title><main><img src=x><p>x</p></main></html>")
        looks.at(watcher.page, "planted")
        assert [issue.split()[0] for _, issue in looks.serious] == ["image-alt"]
