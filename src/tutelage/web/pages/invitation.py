"""An invitation: name and password once, and one is in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from tutelage.core.errors import TutelageError
from tutelage.preferences.accounts import SHORTEST_PASSWORD
from tutelage.web.api import got_in, hold_back_address
from tutelage.web.doors import set_session
from tutelage.web.render import message, page

router = APIRouter()


@router.get("/invite/{token}")
def form(request: Request, token: str) -> Response:
    """The form, or why the invitation cannot be used."""
    return _form(request, token)


@router.post("/invite/{token}")
def accept(
    request: Request,
    token: str,
    name: Annotated[str, Form(max_length=80)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Make the account and begin its first session."""
    accounts = request.state.site.accounts
    try:
        hold_back_address(request)
        rater = accounts.accept(token, name, password)
        got_in(request)
        session = accounts.login(rater.name, password)
    except HTTPException as refused:
        return _form(request, token, refused.status_code, str(refused.detail), name)
    except TutelageError as problem:
        return _form(request, token, 400, str(problem), name)
    response = RedirectResponse("/guidelines" if rater.role == "rater" else "/", 303)
    set_session(response, request.scope, session)
    return response


def _form(request: Request, token: str, status: int = 200, problem: str = "", name: str = "") -> Response:
    site = request.state.site
    try:
        invitation = site.accounts.invitation(token)
    except TutelageError as gone:
        return message(str(gone), 410, "/sign-in", "Sign in")
    said = problem[:1].upper() + problem[1:]
    return page(
        "invitation.html",
        status,
        project=site.name,
        role=invitation.role,
        problem=said,
        name=name or invitation.name,
        shortest=SHORTEST_PASSWORD,
    )
