"""The guidelines as a page of their own, with their version."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tutelage.web.render import markdown, page

router = APIRouter()


@router.get("/guidelines")
def guidelines(request: Request) -> Response:
    """What raters read before they begin, and whenever they like."""
    site = request.state.site
    text = site.guidelines or "This project has no guidelines yet."
    return page("guidelines.html", project=site.name, text=markdown(text), version=site.version)
