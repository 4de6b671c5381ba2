"""Signing in and out."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from tutelage.core.errors import TutelageError
from tutelage.preferences.accounts import Rater
from tutelage.web.api import signed_in
from tutelage.web.doors import COOKIE, LOOKING, set_session
from tutelage.web.render import page
from tutelage.web.shield import csrf_holds

router = APIRouter()
_OWN_PAGE = re.compile(r"/[a-z-]{0,40}")


def home_of(rater: Rater) -> str:
    """Where a role begins."""
    return "/overview" if rater.role in LOOKING else "/rate"


@router.get("/")
def start(request: Request) -> Response:
    """To where one's role begins."""
    return RedirectResponse(home_of(request.state.rater), 303)


@router.get("/sign-in")
def form(request: Request, next: str = "/") -> Response:
    """The form; whoever is signed in goes on at once."""
    if request.state.rater is not None:
        return RedirectResponse("/", 303)
    return _form(request, next=next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    name: Annotated[str, Form(max_length=80)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=200)] = "/",
) -> Response:
    """Begin a session."""
    try:
        token = signed_in(request, name, password)
    except HTTPException as refused:
        return _form(request, refused.status_code, str(refused.detail), name, next)
    except TutelageError as problem:
        return _form(request, 401, str(problem), name, next)
    response = RedirectResponse(next if _OWN_PAGE.fullmatch(next) else "/", 303)
    set_session(response, request.scope, token)
    return response


@router.post("/sign-out")
def sign_out(request: Request, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """End the session."""
    if not csrf_holds(request.state.session, csrf):
        raise HTTPException(403, "sign out with the button on a page")
    request.state.site.accounts.logout(request.state.session)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


def _form(
    request: Request, status: int = 200, problem: str = "", name: str = "", next: str = "/"
) -> Response:
    said = problem[:1].upper() + problem[1:]
    return page("sign_in.html", status, project=request.state.site.name, problem=said, name=name, next=next)
