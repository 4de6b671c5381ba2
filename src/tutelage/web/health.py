"""`/healthz` for whoever restarts the process, `/metrics` for whoever watches it (Prometheus text format).

Counts alone: no names, no texts.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tutelage.core.errors import TutelageError
from tutelage.preferences.queue import Queue
from tutelage.web.site import Site

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
router = APIRouter()


@router.get("/healthz")
def healthz(request: Request) -> Response:
    """200 if the database answers, 503 if it does not."""
    site: Site = request.state.site
    try:
        with site.database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
    except TutelageError:
        return JSONResponse({"status": "the database does not answer"}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """How the work stands, for Prometheus."""
    site: Site = request.state.site
    return PlainTextResponse(exposition(site.queue()), media_type=FORMAT)


def exposition(queue: Queue) -> str:
    """The queue in Prometheus' text format: help, type and value of each metric."""
    active = sum(row.rater.active for row in queue.raters)
    gauges = {
        "judgements": ("Rankings of real work that stand.", queue.rankings),
        "prompts": ("Prompts that can be ranked.", queue.prompts),
        "prompts_ready": ("Prompts with as many rankings as are wanted.", queue.ready),
        "judgements_missing": ("Rankings that are wanted still.", queue.missing),
        "tasks_open": ("Tasks that were given out and not handed in.", queue.open_tasks),
        "raters_active": ("Accounts that are open.", active),
        "judgement_seconds_median": ("Median time of a ranking.", queue.median_seconds or 0),
    }
    lines: list[str] = []
    for name, (means, value) in gauges.items():
        # An undone ranking is taken away again, so even the total may fall: a gauge.
        lines += [
            f"# HELP tutelage_{name} {means}",
            f"# TYPE tutelage_{name} gauge",
            f"tutelage_{name} {value}",
        ]
    return "\n".join(lines) + "\n"
