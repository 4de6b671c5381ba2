"""Who may go where: every address that the application answers is closed, but for the few that are named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.web.conftest import Person
from tutelage.web import doors
from tutelage.web.app import make_app
from tutelage.web.doors import DOORS, EVERYBODY, LOOKING, NOBODY_ASKED, OWNING, RATING, roles_for
from tutelage.web.site import Site

OPEN = {"/sign-in", "/invite/{token}", "/healthz", "/api/sign-in"}
STATIC = "/static/{name}"  # the one address that the schema leaves out


def routes(site: Site) -> list[tuple[str, str]]:
    """(method, address) of all that the application answers, from its own schema."""
    app = make_app(site, pages=False)
    while not isinstance(app, FastAPI):
        app = app.app  # type: ignore[attr-defined]
    paths = app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def roles_of(path: str) -> frozenset[str] | None:
    return roles_for(path.replace("{", "").replace("}", ""))


def test_every_route_has_a_door_and_only_the_named_ones_are_open(site: Site) -> None:
    found = routes(site)
    assert len(found) > 20
    for _, path in found:
        assert (roles_of(path) is NOBODY_ASKED) == (path in OPEN), path
    assert roles_of(STATIC) is NOBODY_ASKED and roles_for("/api/openapi.json") == LOOKING


def test_nothing_closed_answers_a_stranger(site: Site, visitor: TestClient) -> None:
    for method, path in routes(site):
        if path not in OPEN:
            answer = visitor.request(method, path, follow_redirects=False)
            assert answer.status_code == (401 if path.startswith(("/api", "/metrics")) else 303), path


def test_roles_are_kept_apart(site: Site, person: Callable[..., Person]) -> None:
    people = {role: person(role.title(), role) for role in sorted(EVERYBODY)}
    refused = 0
    for method, path in routes(site):
        roles = roles_of(path)
        for role, who in people.items():
            if roles is not NOBODY_ASKED and role not in roles:
                answer = who.client.request(method, path, headers=who.headers, follow_redirects=False)
                assert answer.status_code == 403, (role, method, path)
                refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("/rate", RATING),
        ("/overview", LOOKING),
        ("/api/raters", LOOKING),
        ("/api/raters/ada/deactivate", OWNING),
        ("/_nicegui_ws/socket.io/", EVERYBODY),
        ("/invite/token", NOBODY_ASKED),
    ],
)
def test_the_longest_door_counts(path: str, roles: frozenset[str] | None) -> None:
    assert roles_for(path) == roles


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/rate/x",
        "/overview/",
        "/api",
        "/api/",
        "/docs",
        "/openapi.json",
        "/static",
        "/.env",
    ],
)
def test_what_is_not_named_is_not_there(path: str, visitor: TestClient) -> None:
    with pytest.raises(KeyError):
        roles_for(path)
    assert visitor.get(path, follow_redirects=False).status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../doors.py", "/static/%2e%2e/doors.py", "/static/style.css/../../app.py"]
)
def test_no_file_beside_the_static_ones_is_served(path: str, visitor: TestClient) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404 and "DOORS" not in answer.text


def test_a_made_up_or_ended_session_is_nobody(person: Callable[..., Person], visitor: TestClient) -> None:
    ada = person("Ada")
    for token in ("", "x" * 43, "../../etc", '"; drop table raters'):
        answer = visitor.get("/api/me", headers={"cookie": f"{doors.COOKIE}={token}"})
        assert answer.status_code == 401
    stolen = ada.client.cookies[doors.COOKIE]
    assert ada.post("/api/sign-out").status_code == 200
    assert visitor.get("/api/me", headers={"cookie": f"{doors.COOKIE}={stolen}"}).status_code == 401


def test_a_link_from_another_site_is_asked_again_from_ours(visitor: TestClient) -> None:
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert "refresh" in visitor.get("/rate", headers=cross, follow_redirects=False).text
    assert visitor.get("/rate", follow_redirects=False).headers["location"] == "/sign-in?next=/rate"


def test_a_websocket_needs_a_session_and_our_own_page(
    person: Callable[..., Person], visitor: TestClient
) -> None:
    from starlette.websockets import WebSocketDisconnect

    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with pytest.raises(WebSocketDisconnect), visitor.websocket_connect(path):
        pass
    with pytest.raises(WebSocketDisconnect):
        with person("Ada").client.websocket_connect(path, headers={"origin": "https://evil.example"}):
            pass


def test_the_table_has_no_door_to_everything() -> None:
    assert "" not in DOORS
    assert [d for d, roles in DOORS.items() if roles is NOBODY_ASKED and d.endswith("/")] == [
        "/invite/",
        "/static/",
        "/_nicegui/",
    ]
