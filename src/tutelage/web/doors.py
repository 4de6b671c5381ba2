"""Who may go where: one table for every address, and the gate that reads it before anything else does.

What is not in the table is not there (404), signed in or not. Pages, the JSON interface and the websocket
of the pages all pass here, so a new address is closed until a line below opens it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tutelage.preferences.accounts import Rater
from tutelage.web.site import Site

COOKIE = "tutelage_session"
SIGN_IN = "/sign-in"

EVERYBODY = frozenset({"owner", "rater", "viewer"})
RATING = frozenset({"owner", "rater"})
LOOKING = frozenset({"owner", "viewer"})
OWNING = frozenset({"owner"})
NOBODY_ASKED: frozenset[str] | None = None
"""Open without signing in."""

DOORS: Mapping[str, frozenset[str] | None] = {
    "/sign-in": NOBODY_ASKED,
    "/invite/": NOBODY_ASKED,
    "/healthz": NOBODY_ASKED,
    "/static/": NOBODY_ASKED,
    "/_nicegui/": NOBODY_ASKED,  # the files of the library itself, no data of ours
    "/favicon.ico": NOBODY_ASKED,
    "/api/sign-in": NOBODY_ASKED,
    "/": EVERYBODY,
    "/sign-out": EVERYBODY,
    "/guidelines": EVERYBODY,
    "/api/me": EVERYBODY,
    "/api/sign-out": EVERYBODY,
    "/_nicegui_ws/": EVERYBODY,
    "/rate": RATING,
    "/done": RATING,
    "/api/next": RATING,
    "/api/draft": RATING,
    "/api/submit": RATING,
    "/api/undo": RATING,
    "/api/report": RATING,
    "/overview": LOOKING,
    "/evaluation": LOOKING,
    "/api/evaluation": LOOKING,
    "/metrics": LOOKING,
    "/api/raters": LOOKING,
    "/api/openapi.json": LOOKING,
    "/evaluation/close": OWNING,
    "/api/invitations": OWNING,
    "/api/raters/": OWNING,
}
"""Roles by address; one that ends with a slash opens everything below it."""


def roles_for(path: str) -> frozenset[str] | None:
    """The roles that may pass, or None where anybody may. Raises `KeyError` for an address that is not there."""
    if path in DOORS:
        return DOORS[path]
    below = [door for door in DOORS if door != "/" and door.endswith("/") and path.startswith(door)]
    if not below:
        raise KeyError(path)
    return DOORS[max(below, key=len)]


class Gate:
    """Knows who is asking (`state.rater`, `state.session`, `state.site`) and lets through whom the table names."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self.app, self.site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        state = scope.setdefault("state", {})
        state.update(site=self.site, rater=None, session="")
        try:
            roles = roles_for(path)
        except KeyError:
            await _refuse(scope, receive, send, _missing(path))
            return
        if roles is not NOBODY_ASKED or path == SIGN_IN:
            state["session"] = session_of(headers)
            state["rater"] = await run_in_threadpool(self._who, state["session"])
        if roles is not NOBODY_ASKED and not self._monitors(path, headers):
            refusal = _refusal(path, headers, state["rater"], roles)
            if refusal is not None:
                await _refuse(scope, receive, send, refusal)
                return
        await self.app(scope, receive, send)

    def _monitors(self, path: str, headers: Headers) -> bool:
        """Whether a monitoring program asks for what it may read, with the token that the server was given."""
        token = self.site.metrics_token
        given = headers.get("authorization", "").removeprefix("Bearer ")
        return path == "/metrics" and bool(token) and hmac.compare_digest(token.encode(), given.encode())

    def _who(self, session: str) -> Rater | None:
        return self.site.accounts.who(session) if session else None


def session_of(headers: Headers) -> str:
    """The session's token in a request's cookies, or an empty text."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def set_session(response: Response, scope: Mapping[str, Any], token: str) -> None:
    """Give the browser its session: out of reach of scripts, sent to this site alone, until it is closed."""
    secure = scope.get("scheme") == "https"
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")


def _refusal(path: str, headers: Headers, rater: Rater | None, roles: frozenset[str]) -> Response | None:
    for_programs = path.startswith(("/api/", "/metrics", "/_nicegui"))
    if rater is None and for_programs:
        return JSONResponse({"detail": "sign in first"}, 401)
    if rater is None and headers.get("sec-fetch-site") == "cross-site":
        return _bounce()
    if rater is None:
        return RedirectResponse(f"{SIGN_IN}?next={quote(path)}", 303)
    if rater.role in roles:
        return None
    said = f"this is not open to the role '{rater.role}'"
    return JSONResponse({"detail": said}, 403) if for_programs else _told(said, 403)


def _missing(path: str) -> Response:
    said = "there is nothing at this address"
    return JSONResponse({"detail": said}, 404) if path.startswith("/api/") else _told(said, 404)


def _told(sentence: str, status: int) -> Response:
    from tutelage.web.render import message

    return message(sentence, status)


def _bounce() -> Response:
    """A link in a mail comes without our cookie (SameSite=Strict); asked again from our own page, it comes."""
    return HTMLResponse(
        '<!doctype html><html lang="en"><title>Tutelage</title><meta http-equiv="refresh" content="0">'
    )


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Response) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    else:
        await refusal(scope, receive, send)
