"""Blind evaluation for owners: how the open round goes, and what closed rounds came to.

As long as a round is open, nothing here tells who is ahead: an owner may rate too. Closing it is for good.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from tutelage.evals import human_words as words
from tutelage.evals.human import KINDS
from tutelage.evals.human_results import Results
from tutelage.pipeline.humans import all_results, close_open
from tutelage.web.api import SiteOf, hold_back
from tutelage.web.doors import OWNING, RATING
from tutelage.web.limits import WRITE
from tutelage.web.pages.overview import duration
from tutelage.web.render import page
from tutelage.web.shield import csrf_holds, csrf_of

router = APIRouter()


@router.get("/evaluation")
def evaluation(request: Request) -> Response:
    """The page: the open round first, then the closed ones, the last one first."""
    site, rater = request.state.site, request.state.rater
    found = all_results(site.database)
    return page(
        "evaluation.html",
        project=site.name,
        now=next((one for one in found if one.closed is None), None),
        closed=[one for one in reversed(found) if one.closed is not None],
        figures=figures,
        words=words,
        kinds=KINDS,
        csrf=csrf_of(request.state.session),
        owns=rater.role in OWNING,
        rates=rater.role in RATING,
    )


@router.post("/evaluation/close")
def close(request: Request, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Close the round that is open."""
    if not csrf_holds(request.state.session, csrf):
        raise HTTPException(403, "close the round with the button on its page")
    hold_back(request, "write", request.state.rater.id, WRITE)
    close_open(request.state.site.database)
    return RedirectResponse("/evaluation", 303)


@router.get("/api/evaluation")
def rounds(at: SiteOf) -> list[dict[str, Any]]:
    """Every round: of the one that is open how far it is, of closed ones all figures."""
    return [one.to_dict() if one.closed else _so_far(one) for one in all_results(at.database)]


def figures(found: Results) -> list[tuple[str, str, str]]:
    """Name, value, and what stands under it: nothing that tells who is ahead."""
    pairs = sum(p.waiting + p.unjudged + (p.rate.n if p.rate else 0) for p in found.pairs)
    settled = sum(p.conclusion != "open" for p in found.pairs)
    agreed = "–" if found.agreed is None else f"{found.agreed:.0%}"
    alpha = "" if found.agreement is None else f"alpha {words.number(found.agreement)}"
    return [
        (
            "Pairs of answers judged",
            f"{pairs - found.waiting} of {pairs}",
            f"{found.raters_each} raters each",
        ),
        (
            "Pairs of models settled",
            f"{settled} of {len(found.pairs)}",
            f"at {found.confidence:.0%} together",
        ),
        ("Judgements", f"{found.judgements:,}", f"{found.cannot_judge} times somebody could not judge"),
        ("Raters", str(found.raters), f"median {duration(found.median_seconds)} a pair"),
        ("Raters who say the same", agreed, alpha),
    ]


def _so_far(found: Results) -> dict[str, Any]:
    told = {name: value for name, value, _ in figures(found)}
    return {
        "number": found.number,
        "opened": found.opened,
        "closed": None,
        "advice": words.advice(found),
        **told,
    }
