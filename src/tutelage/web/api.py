"""The same work over JSON: sign in, next task, draft, submit, undo; invitations and raters for owners.

For programs that rate, for load tests, and for whoever builds another page. Every write needs the header
`X-CSRF-Token` that signing in gives. Responses have letters here too (`blind.py`).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from tutelage.core.errors import TutelageError
from tutelage.preferences.accounts import Rater, name_key
from tutelage.web import blind
from tutelage.web.doors import COOKIE, set_session
from tutelage.web.limits import SIGN_IN_AS_NAME, SIGN_IN_FROM_ADDRESS, SUBMIT, WRITE
from tutelage.web.shield import CSRF_HEADER, csrf_holds, csrf_of
from tutelage.web.site import Site

Text = Annotated[str, Field(max_length=blind.LONGEST_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Password = Annotated[str, Field(min_length=1, max_length=200)]
TaskId = Annotated[str, Field(min_length=1, max_length=64)]
_RULES = {"/api/submit": ("submit", SUBMIT)}


class Credentials(BaseModel):
    """Who signs in."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    password: Password


class Draft(BaseModel):
    """What the page wants to find again: any JSON object of reasonable size."""

    model_config = ConfigDict(extra="forbid")
    task: TaskId
    content: dict[str, Any]


class Submission(blind.Given):
    """An answer, and the task it belongs to."""

    task: TaskId


class Problem(BaseModel):
    """What is wrong with a task."""

    model_config = ConfigDict(extra="forbid")
    task: TaskId
    text: Annotated[str, Field(min_length=1, max_length=blind.LONGEST_TEXT)]


class Invitation(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["owner", "rater", "viewer"] = "rater"
    name: Annotated[str, Field(max_length=80)] = ""
    groups: dict[Annotated[str, Field(max_length=80)], Annotated[str, Field(max_length=80)]] = {}
    days: Annotated[int, Field(ge=1, le=90)] = 14


# These wait for nothing, so they need no thread of their own, which `async` keeps them from getting.
async def site(request: Request) -> Site:
    """The project that is served."""
    return request.state.site


async def rater(request: Request) -> Rater:
    """Who asks; the gate has let nobody else through."""
    return request.state.rater


async def write(request: Request) -> Rater:
    """Who writes: with the token of the session, and not too often."""
    if not csrf_holds(request.state.session, request.headers.get(CSRF_HEADER, "")):
        raise HTTPException(403, f"send the header {CSRF_HEADER} that signing in gave")
    what, rule = _RULES.get(request.url.path, ("write", WRITE))
    hold_back(request, what, request.state.rater.id, rule)
    return request.state.rater


def hold_back(request: Request, what: str, who: str, rule: Any) -> None:
    """Refuse with 429 what is done too often."""
    wait = request.state.site.limiter.wait(what, who, rule)
    if wait:
        seconds = int(wait) + 1
        raise HTTPException(
            429, f"too often: wait {seconds} s and try again", headers={"Retry-After": str(seconds)}
        )


def hold_back_address(request: Request) -> None:
    """The same for whoever tries to get in from one address."""
    hold_back(request, "sign-in from", _address(request), SIGN_IN_FROM_ADDRESS)


def got_in(request: Request) -> None:
    """Who got in has not guessed: an office behind one address does not use up its attempts."""
    request.state.site.limiter.give_back("sign-in from", _address(request), SIGN_IN_FROM_ADDRESS)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


SiteOf = Annotated[Site, Depends(site)]
Asking = Annotated[Rater, Depends(rater)]
Writing = Annotated[Rater, Depends(write)]
router = APIRouter(prefix="/api")


def signed_in(request: Request, name: str, password: str) -> str:
    """A new session's token. Raises `HTTPException` if it was tried too often, `TutelageError` if it is wrong."""
    hold_back_address(request)
    hold_back(request, "sign-in as", name_key(name), SIGN_IN_AS_NAME)
    token = request.state.site.accounts.login(name, password)
    got_in(request)
    return token


@router.post("/sign-in")
def sign_in(request: Request, credentials: Credentials) -> Response:
    """Begin a session: a cookie, and the token that every write must carry."""
    try:
        token = signed_in(request, credentials.name, credentials.password)
    except TutelageError as problem:
        raise HTTPException(401, str(problem)) from None
    response = JSONResponse({"csrf": csrf_of(token)})
    set_session(response, request.scope, token)
    return response


@router.post("/sign-out")
def sign_out(request: Request, at: SiteOf, _who: Writing) -> Response:
    """End the session."""
    at.accounts.logout(request.state.session)
    response = JSONResponse({"signed_in": False})
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/me")
def me(request: Request, who: Asking) -> dict[str, Any]:
    """Who is signed in, and the token for writes."""
    return {"name": who.name, "role": who.role, "csrf": csrf_of(request.state.session)}


@router.get("/next")
def next_task(at: SiteOf, who: Asking) -> blind.Shown | None:
    """What this rater is asked now, with the draft kept for it; null where nothing waits."""
    task = at.desk.next(who)
    return None if task is None else blind.shown(task)


@router.put("/draft")
def draft(at: SiteOf, who: Writing, given: Draft) -> dict[str, bool]:
    """Keep a draft."""
    at.desk.save_draft(given.task, who, given.content)
    return {"saved": True}


@router.post("/submit")
def submit(at: SiteOf, who: Writing, given: Submission) -> dict[str, Any]:
    """Hand an answer in. The same one again is the same answer; another one for the same task is refused."""
    asked = at.desk.asked(given.task, who)
    submitted = at.desk.submit(asked.id, who, blind.answer(asked, given))
    return blind.result(asked, submitted)


@router.post("/undo")
def undo(at: SiteOf, who: Writing) -> blind.Shown | None:
    """Open the last answer once more; null where there is none."""
    task = at.desk.undo(who)
    return None if task is None else blind.shown(task)


@router.post("/report")
def report(at: SiteOf, who: Writing, given: Problem) -> dict[str, bool]:
    """Note that something is wrong with a prompt or a response."""
    at.desk.report_problem(given.task, who, given.text)
    return {"noted": True}


@router.post("/invitations")
def invite(request: Request, at: SiteOf, _who: Writing, wanted: Invitation) -> dict[str, str]:
    """Make an invitation; its link is shown once and kept nowhere."""
    token = at.accounts.invite(wanted.role, name=wanted.name, groups=wanted.groups, days=wanted.days)
    return {"link": f"{request.base_url}invite/{token}"}


@router.get("/raters")
def raters(at: SiteOf) -> list[dict[str, Any]]:
    """Everybody with an account."""
    return [dataclasses.asdict(r) for r in at.accounts.raters()]


@router.post("/raters/{rater_id}/deactivate")
def deactivate(at: SiteOf, who: Writing, rater_id: Annotated[str, Field(max_length=64)]) -> dict[str, bool]:
    """Close an account: its sessions end, its judgements stay."""
    if rater_id == who.id:
        raise HTTPException(409, "this is your own account: let another owner close it")
    at.accounts.deactivate(rater_id)
    return {"active": False}
