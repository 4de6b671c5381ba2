"""The one process: plain pages and the JSON interface on FastAPI, the pages with a websocket on NiceGUI.

From the outside in: the shield (headers, sizes, strangers), the gate (who may go where), then routes. NiceGUI
is one for a process, so a process serves one project.
"""

from __future__ import annotations

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tutelage.core.errors import DataError, ResourceError, StoreError, TutelageError
from tutelage.web import api, health
from tutelage.web.doors import Gate
from tutelage.web.pages import done, evaluation, guidelines, invitation, sign_in
from tutelage.web.render import message
from tutelage.web.shield import Shield
from tutelage.web.site import Site
from tutelage.web.theme import STATIC, STYLE, stylesheet

FOR_GOOD = "public, max-age=31536000, immutable"
_PACKED = ("/static/", "/_nicegui/")
_STATUS = {DataError: 422, StoreError: 409, ResourceError: 503}


def make_app(site: Site, *, pages: bool = True) -> ASGIApp:
    """The whole application for a project; without `pages`, all but what needs NiceGUI."""
    app = FastAPI(title="Tutelage", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.add_exception_handler(TutelageError, _explained)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    for router in (
        sign_in.router,
        invitation.router,
        guidelines.router,
        done.router,
        evaluation.router,
        api.router,
        health.router,
    ):
        app.include_router(router)
    app.add_api_route("/static/{name}", _static, include_in_schema=False)
    if pages:
        _with_pages(app)
    return Shield(Gate(_Packed(app), site))


def _with_pages(app: FastAPI) -> None:
    from nicegui import core, ui

    from tutelage.web.pages import overview, rate

    # What NiceGUI does not know is simply not there: no page of its own, and no client made for it.
    core.app.add_exception_handler(404, _refused)
    core.app.config.quasar_config["loadingBar"] = {"skipHijack": True}  # it has no name for a screen reader
    if not core.app.config.has_run_config:
        ui.run_with(
            app,
            title="Tutelage",
            dark=None,
            language="en-GB",
            tailwind=False,
            reconnect_timeout=20,
            show_welcome_message=False,
            gzip_middleware_factory=None,
        )
    else:
        app.mount("/", core.app)
    rate.mount()
    overview.mount()


def _static(name: str) -> Response:
    if name == STYLE:
        return Response(stylesheet(), media_type="text/css", headers={"Cache-Control": FOR_GOOD})
    path = STATIC / name
    if path.parent != STATIC or path.suffix != ".js" or not path.is_file():
        raise HTTPException(404, "there is nothing at this address")
    text = path.read_text(encoding="utf-8")
    return Response(text, media_type="text/javascript", headers={"Cache-Control": FOR_GOOD})


def _explained(request: Request, problem: Exception) -> Response:
    status = next((s for kind, s in _STATUS.items() if isinstance(problem, kind)), 409)
    return _answer(request, str(problem), status)


def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, StarletteHTTPException)
    return _answer(request, str(problem.detail), problem.status_code, dict(problem.headers or {}))


def _not_understood(request: Request, problem: Exception) -> Response:
    """One sentence on the first fault. What was sent is not sent back: it need not even be text."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, int) or part.isidentifier())
    said = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return _answer(request, f"{where}: {said}" if where else said, 422)


def _answer(request: Request, said: str, status: int, headers: dict[str, str] | None = None) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": said}, status, headers=headers)
    return message(said, status)


class _Packed:
    """Files that are the same for everybody travel packed; pages, which hold secrets, do not (BREACH)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._packing = GZipMiddleware(app, minimum_size=1000)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        packed = scope["type"] == "http" and scope["path"].startswith(_PACKED)
        await (self._packing if packed else self.app)(scope, receive, send)
