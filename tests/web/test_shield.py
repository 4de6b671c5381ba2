"""The outermost layer alone, around an application that answers everything."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tutelage.web.shield import MOST_BYTES, Shield, csrf_holds, csrf_of

PAGE = "<html><script>one</script><script src=x></script><p>&lt;script></p></html>"


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"X-NiceGUI-Content": "page"})


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/page", page), Route("/echo", echo, methods=["GET", "POST"])]
    return TestClient(Shield(Starlette(routes=routes)), base_url="https://rate.example")


def test_every_answer_carries_the_headers(client: TestClient) -> None:
    for answer in (client.get("/echo"), client.get("/nowhere"), client.post("/echo", content=b"x" * 300_000)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    policy = client.get("/echo").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert client.get("/echo").headers["strict-transport-security"]


def test_each_script_of_a_page_has_the_nonce_of_its_own_answer(client: TestClient) -> None:
    first, second = client.get("/page"), client.get("/page")
    nonces = []
    for answer in (first, second):
        (nonce,) = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
        assert answer.text.count(f'<script nonce="{nonce}"') == 2 == answer.text.count("<script")
        assert answer.headers["content-length"] == str(len(answer.content))
        assert (
            "unsafe-inline"
            not in re.findall(r"script-src[^;]*", answer.headers["content-security-policy"])[0]
        )
        nonces.append(nonce)
    assert nonces[0] != nonces[1]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "https://rate.example"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://rate.example.evil"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://rate.example"}, False),
    ],
)
def test_writes_of_other_sites_are_refused(
    client: TestClient, headers: dict[str, str], allowed: bool
) -> None:
    assert client.post("/echo", headers=headers).status_code == (200 if allowed else 403)
    assert client.get("/echo", headers=headers).status_code == 200


def test_the_websocket_by_polling_counts_as_a_write(client: TestClient) -> None:
    polled = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        assert client.get(polled, headers=headers).status_code == 403
    assert client.get(polled, headers={"Origin": "https://rate.example"}).status_code == 404


def test_a_body_has_a_limit_whether_or_not_it_says_its_length(client: TestClient) -> None:
    assert client.post("/echo", content=b"x" * MOST_BYTES).text == str(MOST_BYTES)
    assert client.post("/echo", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert client.post("/echo", headers={"content-length": "-1"}, content=b"x").status_code == 413
    pieces = (b"x" * 1024 for _ in range(MOST_BYTES // 1024 + 1))
    assert client.post("/echo", content=pieces).status_code == 413


def test_the_token_belongs_to_one_session() -> None:
    assert csrf_holds("session-one", csrf_of("session-one"))
    assert not csrf_holds("session-two", csrf_of("session-one"))
    assert not csrf_holds("", csrf_of(""))
    assert not csrf_holds("session-one", "")
    assert "session-one" not in csrf_of("session-one")
