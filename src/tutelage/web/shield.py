"""What every answer and every request must keep to: security headers, a size limit, no strangers' writes.

A content security policy with a fresh nonce a page: text that slipped through as a script would not run.
Writes must come from our own pages: the browser says where a request comes from (`Sec-Fetch-Site`, or
`Origin`), and a program that sends neither carries no stolen cookie. The token against forged requests
(`csrf_of`) comes on top, for everything signed in.
Left out on purpose: who may go where (`doors.py`), and TLS, which is the proxy's.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 256 * 1024
"""Of a request: a ranking with a reason and a better answer needs a tenth of it."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKET = "/_nicegui_ws/"
"""NiceGUI's websocket, which takes any origin: reading from it is as good as writing."""
CSRF_HEADER = "x-csrf-token"

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # an invitation's address is a secret
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_COMMON = "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
PLAIN_POLICY = f"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; {_COMMON}"
# NiceGUI compiles its handlers in the browser (unsafe-eval) and styles its elements in place.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; " + _COMMON
)
OVER_TLS = "max-age=31536000"


def csrf_of(session: str) -> str:
    """The token that a page sends along with every write; it follows from the session, and says nothing of it."""
    return hmac.new(session.encode(), b"tutelage writes", hashlib.sha256).hexdigest()


def csrf_holds(session: str, given: str) -> bool:
    """Whether `given` is this session's token."""
    return bool(session) and hmac.compare_digest(csrf_of(session).encode(), given.encode())


class Shield:
    """The outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if foreign(scope, headers):
            await _stop(scope, receive, send, 403, "this request comes from another site")
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        body = await _whole(receive) if length.isdigit() and int(length) <= MOST_BYTES else None
        if body is None:
            await _stop(scope, receive, send, 413, f"a request may have {MOST_BYTES // 1024} KiB at most")
            return
        await self.app(scope, _again(body, receive), _Answer(scope, send))


def foreign(scope: Scope, headers: Headers) -> bool:
    """Whether a browser says that a write, or a websocket (by polling too), was begun by another site's page."""
    reads = scope["type"] == "http" and scope["method"] in SAFE
    if reads and not scope["path"].startswith(SOCKET):
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


class _Answer:
    """Sends on what the application answers, with the headers; in pages of NiceGUI each script gets the nonce."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._secure, self._send = scope["scheme"] == "https", send
        self._nonce = ""
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("x-nicegui-content") == "page":
                self._nonce = secrets.token_urlsafe(16)
            for name, value in HEADERS.items():
                headers[name] = value
            headers["content-security-policy"] = (
                PAGE_POLICY.format(nonce=self._nonce) if self._nonce else PLAIN_POLICY
            )
            if self._secure:
                headers["strict-transport-security"] = OVER_TLS
            headers.setdefault("cache-control", "no-store")
            if self._nonce:
                self._start = message
                return
        elif self._nonce and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = self._body.replace(b"<script", f'<script nonce="{self._nonce}"'.encode())
            MutableHeaders(scope=self._start)["content-length"] = str(len(body))
            await self._send(self._start)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)


async def _whole(receive: Receive) -> bytes | None:
    """A request's body, or None if it goes on beyond the limit without having said its length."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            return None
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out the body that was read, and then what comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _stop(scope: Scope, receive: Receive, send: Send, status: int, said: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await JSONResponse({"detail": said}, status, headers=HEADERS)(scope, receive, send)
