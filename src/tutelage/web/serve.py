"""Open a project's pages: the socket, the owner's first invitation, the server until it is stopped."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from tutelage.core.errors import ResourceError
from tutelage.pipeline.people import address_of, open_people
from tutelage.web.app import make_app
from tutelage.web.site import Site

if TYPE_CHECKING:
    from tutelage.pipeline.project import Project

FIRST_DAYS = 1
"""Days for which the first owner's link is open; the next start prints another one."""


def serve_rating(
    project: Project,
    *,
    say: Callable[[str], None],
    host: str | None = None,
    port: int | None = None,
    address: str | None = None,
) -> None:
    """Serve until stopped (Ctrl + C, SIGTERM). Port 0 takes a free one.

    Raises `ResourceError` if the port is taken, and `TutelageError` for a project that cannot be opened.
    """
    with open_people(project) as people:
        settings = people.recipe.people
        listening = _listen(host or settings.host, settings.port if port is None else port)
        there = address_of(host or settings.host, listening.getsockname()[1], address)
        site = Site(people.recipe.name, people.folder, people.database, people.accounts, people.desk)
        server = uvicorn.Server(_config(make_app(site)))
        say(f"rating is open at {there} (stop with Ctrl + C)")
        if not any(r.role == "owner" and r.active for r in people.accounts.raters()):
            token = people.accounts.invite("owner", days=FIRST_DAYS)
            say(
                f"nobody owns this project yet; this link, good once, makes you its owner: {there}/invite/{token}"
            )
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
        say("rating is closed; drafts are kept")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except (OSError, OverflowError) as problem:
        raise ResourceError(
            f"cannot listen at {host}:{port} ({problem.strerror if isinstance(problem, OSError) else problem}): "
            "choose another with --host and --port"
        ) from None


def _config(app: object) -> uvicorn.Config:
    # No access log: an invitation's token stands in its address. A proxy on this machine is believed about
    # who asks; for one elsewhere set FORWARDED_ALLOW_IPS.
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=64 * 1024,
    )
