"""Nothing waits: how much was done, and that one may come back."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from tutelage.web.render import page

router = APIRouter()


@router.get("/done")
def done(request: Request) -> Response:
    """The end of a queue; back to work if something waits after all."""
    site, rater = request.state.site, request.state.rater
    if site.desk.next(rater) is not None:
        return RedirectResponse("/rate", 303)
    done = site.desk.progress(rater).done
    return page("done.html", project=site.name, done=done, spent=site.desk.is_spent())
