"""Requests that another site makes in somebody's name, and what it could do with ours: forgery, frames, lures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from benchmarks.claims.people.intrusion.attack import Attack, Try
from benchmarks.claims.people.intrusion.scene import PASSWORD, Answer, Person, Scene

EVIL = "https://evil.example"
HANDSHAKE = "/_nicegui_ws/socket.io/?EIO=4&transport="
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def writes(person: Person) -> dict[str, Any]:
    """Every write that is open to the person, with a body that would be taken."""
    task = person.task()
    return {
        "PUT /api/draft": {"task": task, "content": {"reason": "forged"}},
        "POST /api/report": {"task": task, "text": "forged"},
        "POST /api/invitations": {"role": "owner"},
        "POST /api/submit": {"task": task, "ranking": [["A"], ["B"]]},
        "POST /api/undo": None,
        "POST /api/sign-out": None,
    }


def forged_writes(scene: Scene) -> Iterator[Try]:
    """An owner's browser sends the cookie; the rest is what another site, or a page of a sibling's, can make of it."""
    other = scene.join("owner")
    own_origin = scene.address
    tricks: dict[str, dict[str, str]] = {
        "no token": {"X-CSRF-Token": ""},
        "a wrong token": {"X-CSRF-Token": "0" * 64},
        "another session's token": {"X-CSRF-Token": other.csrf},
        "the session as token": {"X-CSRF-Token": "session"},
        "another site's origin": {"Origin": EVIL},
        "an origin that begins like ours": {"Origin": f"{own_origin}.evil.example"},
        "no origin to name": {"Origin": "null"},
        "a cross-site request": {"Sec-Fetch-Site": "cross-site", "Origin": own_origin},
        "a sibling's request": {"Sec-Fetch-Site": "same-site", "Origin": own_origin},
        "a form of plain text": {"X-CSRF-Token": "", "Content-Type": "text/plain"},
        "another method by header": {"X-CSRF-Token": "", "X-HTTP-Method-Override": "GET"},
    }
    owner = scene.join("owner")
    for trick, headers in tricks.items():
        owner = _signed_in(scene, owner)
        said = {k: owner.session if v == "session" else v for k, v in headers.items()}
        for what, body in writes(owner).items():
            before = scene.counts()
            answer = owner.ask(*what.split(), json_body=body, headers=said)
            yield Try(f"{what} with {trick}", answer.done or scene.counts() != before)
    owner = _signed_in(scene, owner)
    for what, body in writes(owner).items():
        answer = owner.ask(*what.split(), json_body=body)
        if answer.status != 200:
            raise RuntimeError(f"{what} fails for its own person too: {answer.text[:200]}")


def _signed_in(scene: Scene, owner: Person) -> Person:
    """The owner, or another one if a trick signed them out."""
    return owner if scene.people.accounts.who(owner.session) is not None else scene.join("owner")


def forged_forms(scene: Scene) -> Iterator[Try]:
    """Signing somebody in as the attacker, or out, from another site."""
    ada = scene.join()
    form = {"name": ada.name, "password": PASSWORD}
    abroad = {"Origin": EVIL}
    stranger = scene.stranger()
    for what, answer in {
        "sign-in": stranger.ask("POST", "/sign-in", form=form, headers=abroad),
        "sign-in over JSON": stranger.ask("POST", "/api/sign-in", json_body=form, headers=abroad),
        "an invitation": stranger.ask(
            "POST", scene.invite(), form={**form, "name": "Forged"}, headers=abroad
        ),
        "an invitation, cross-site": stranger.ask(
            "POST", scene.invite(), form={**form, "name": "Forged"}, headers={"Sec-Fetch-Site": "cross-site"}
        ),
    }.items():
        yield Try(f"{what} from another site", "set-cookie" in answer.headers)
    for token in ("", "0" * 64, ada.session):
        answer = ada.ask("POST", "/sign-out", form={"csrf": token})
        yield Try("signing out with a wrong token", ada.ask("GET", "/api/me").status != 200)


def websocket(scene: Scene) -> Iterator[Try]:
    """The pages' websocket from another site, and without a session."""
    ada, stranger = scene.join(), scene.stranger()
    path = f"{HANDSHAKE}websocket"
    if ada.ask("GET", path, headers={**UPGRADE, "Origin": scene.address}).status != 101:
        raise RuntimeError("the websocket does not open for its own page either")
    for what, person, headers in (
        ("another site", ada, {"Origin": EVIL}),
        ("a sibling", ada, {"Sec-Fetch-Site": "same-site"}),
        ("no origin to name", ada, {"Origin": "null"}),
        ("a stranger", stranger, {"Origin": scene.address}),
        ("a made-up session", Person(scene, session="x" * 43), {"Origin": scene.address}),
    ):
        yield Try(f"websocket: {what}", person.ask("GET", path, headers={**UPGRADE, **headers}).status == 101)
        polled = person.ask("GET", f"{HANDSHAKE}polling", headers=headers)
        yield Try(f"the same by polling: {what}", polled.status == 200)


def lures(scene: Scene) -> Iterator[Try]:
    """Links of ours that lead elsewhere, and headers smuggled into an answer."""
    targets = [
        "//evil.example",
        "///evil.example",
        EVIL,
        "https:evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/%2f/evil.example",
        "/\t/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/rate@evil.example",
        "/rate\r\nSet-Cookie: planted=1",
        ".evil.example",
    ]
    person = scene.stranger()
    for n, target in enumerate(targets):
        person = scene.join() if n % 7 == 0 else person  # a name may sign in eight times at once
        answer = scene.stranger().ask(
            "POST",
            "/sign-in",
            form={"name": person.name, "password": PASSWORD, "next": target},
            headers={"X-Forwarded-For": f"10.7.{n}.1"},
        )
        if answer.status != 303:
            raise RuntimeError(f"signing in failed: {answer.status} {answer.text[:200]}")
        yield Try(f"after signing in: {target!r}", _leads_away(scene, answer))
    for path in ("//evil.example/%2e%2e", "//evil.example", "/sign-in//evil.example", "/%5cevil.example"):
        yield Try(f"the address {path}", _leads_away(scene, scene.stranger().ask("GET", path)))
    smuggled = f"/sign-in?next={quote('/x')}%0d%0aSet-Cookie:%20planted=1"
    yield Try("a header in `next`", "planted" in str(scene.stranger().ask("GET", smuggled).headers))
    shown = scene.stranger().ask("GET", "/sign-in?next=https://evil.example").text
    yield Try("a link elsewhere on the sign-in page", 'href="https://evil' in shown)


def _leads_away(scene: Scene, answer: Answer) -> bool:
    to = answer.headers.get("location", "/")
    cookies = answer.headers.get("set-cookie", "")
    meant = urlsplit(urljoin(scene.address + "/", to.replace("\\", "/")))
    return meant.netloc != urlsplit(scene.address).netloc or "planted" in cookies or "\t" in to


def frames(scene: Scene) -> Iterator[Try]:
    """Our pages in another site's frame, or a script from elsewhere in them; every page and refusal."""
    owner, rater, stranger = scene.join("owner"), scene.join(), scene.stranger()
    invitation = scene.invite()
    asked = [(stranger, path) for path in ("/sign-in", invitation, "/invite/x", "/nowhere", "/healthz")]
    asked += [(stranger, "/static/style.css"), (rater, "/overview"), (rater, "/api/nowhere")]
    asked += [(owner, path) for path in ("/overview", "/rate", "/guidelines", "/done", "/api/me", "/metrics")]
    for person, path in asked:
        headers = person.ask("GET", path).headers
        policy = headers.get("content-security-policy", "")
        framed = headers.get("x-frame-options") != "DENY" or "frame-ancestors 'none'" not in policy
        scripts = next((p for p in policy.split(";") if p.strip().startswith("script-src")), "")
        where = "an invitation" if path == invitation else path
        yield Try(f"{where} in a frame", framed)
        yield Try(f"{where} runs any script", "'unsafe-inline'" in scripts or not scripts or "*" in scripts)
        yield Try(f"{where} is taken for another type", headers.get("x-content-type-options") != "nosniff")
        if not path.startswith("/static"):
            kept = "no-store" not in headers.get("cache-control", "")
            yield Try(f"{where} stays in a cache", kept)
    abroad = owner.ask("GET", "/api/me", headers={"Origin": EVIL}).headers
    yield Try("another site's script reads an answer", "access-control-allow-origin" in abroad)
    traced = owner.ask("TRACE", "/api/me", headers={"X-Secret": "shows"})
    yield Try("TRACE sends the headers back", "shows" in traced.text)


ATTACKS = (
    Attack(
        "forged writes (CSRF)",
        "every write with an owner's cookie and no token, a wrong one, another session's; with the right one from "
        "another site, a sibling, an origin that begins like ours",
        "an answer below 400, or a row in the store",
        "a token that follows from the session, on top of `Origin` and `Sec-Fetch-Site` (`web/shield.py`)",
        forged_writes,
    ),
    Attack(
        "forged forms",
        "signing somebody in from another site, by form, JSON and invitation; signing them out",
        "a cookie is set, or the session is over",
        "the same",
        forged_forms,
    ),
    Attack(
        "the pages' websocket",
        "opened from another site, a sibling, without a session, with a made-up one; by websocket and by polling",
        "the handshake succeeds",
        "the shield counts it among the writes, and the gate asks for a session",
        websocket,
    ),
    Attack(
        "open redirect",
        "`next` with other hosts in many spellings, with line breaks; addresses that begin with two slashes",
        "`Location` leads elsewhere, or a header is planted",
        "`next` may be one word behind one slash",
        lures,
    ),
    Attack(
        "clickjacking and foreign scripts",
        "the headers of every page, refusal and file",
        "it may be framed, run a script without a nonce, be taken for another type, or stay in a cache",
        "headers on every answer (`web/shield.py`)",
        frames,
    ),
)
