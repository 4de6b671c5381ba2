"""Pages without a script: signing in and out, an invitation, the guidelines; and what they must not do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import PASSWORD, Person
from tutelage.web.doors import COOKIE
from tutelage.web.render import markdown
from tutelage.web.site import Site

SCRIPT = "<script>alert(1)</script>"


def accept(visitor: TestClient, site: Site, name: str, role: str = "rater", password: str = PASSWORD):
    token = site.accounts.invite(role)
    return visitor.post(f"/invite/{token}", data={"name": name, "password": password}, follow_redirects=False)


def test_an_invitation_makes_an_account_and_signs_in(visitor: TestClient, site: Site) -> None:
    answer = accept(visitor, site, "Ada")
    assert answer.status_code == 303 and answer.headers["location"] == "/guidelines"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
    assert visitor.get("/api/me").json()["name"] == "Ada"


def test_over_tls_the_cookie_is_secure(site: Site, visitor: TestClient) -> None:
    visitor.base_url = "https://rate.test"  # type: ignore[assignment]
    assert "secure" in accept(visitor, site, "Ada").headers["set-cookie"].lower()


def test_an_invitation_is_good_once(visitor: TestClient, site: Site) -> None:
    token = site.accounts.invite("rater")
    data = {"name": "Ada", "password": PASSWORD}
    assert visitor.post(f"/invite/{token}", data=data, follow_redirects=False).status_code == 303
    again = visitor.post(f"/invite/{token}", data={**data, "name": "Eve"})
    assert again.status_code == 410 and "invitation" in again.text
    assert [r.name for r in site.accounts.raters()] == ["Ada"]
    assert visitor.get("/invite/made-up").status_code == 410


def test_a_short_password_is_told_and_the_name_is_kept(visitor: TestClient, site: Site) -> None:
    answer = accept(visitor, site, "Ada", password="short")
    assert answer.status_code == 400 and 'value="Ada"' in answer.text
    assert "short" not in answer.text.replace("shorter", "")
    assert site.accounts.raters() == []


def test_a_name_is_text(visitor: TestClient, site: Site) -> None:
    answer = accept(visitor, site, SCRIPT, password="x")
    assert SCRIPT not in answer.text and "&lt;script&gt;" in answer.text


def test_signing_in_leads_to_where_one_wanted_to_go(
    person: Callable[..., Person], visitor: TestClient
) -> None:
    person("Ada")
    data = {"name": "Ada", "password": PASSWORD}
    wanted = visitor.post("/sign-in", data={**data, "next": "/rate"}, follow_redirects=False)
    assert wanted.headers["location"] == "/rate"
    visitor.cookies.clear()
    for trick in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/rate?x=//evil",
        "javascript:1",
    ):
        led = visitor.post("/sign-in", data={**data, "next": trick}, follow_redirects=False)
        assert led.headers["location"] == "/", trick
        visitor.cookies.clear()


def test_a_wrong_password_is_told_without_a_session(
    person: Callable[..., Person], visitor: TestClient
) -> None:
    person("Ada")
    answer = visitor.post("/sign-in", data={"name": "Ada", "password": "wrong"})
    assert answer.status_code == 401 and 'role="alert"' in answer.text
    assert COOKIE not in visitor.cookies and "wrong" not in answer.text.split("<form")[1].split("alert")[0]


def test_signing_out_needs_the_button(person: Callable[..., Person]) -> None:
    ada = person("Ada")
    assert ada.client.post("/sign-out").status_code == 403
    assert ada.get("/api/me").status_code == 200
    out = ada.client.post("/sign-out", data={"csrf": ada.headers["X-CSRF-Token"]}, follow_redirects=False)
    assert out.headers["location"] == "/sign-in"
    assert ada.get("/api/me").status_code == 401


def test_each_role_starts_where_its_work_is(person: Callable[..., Person]) -> None:
    starts = {
        role: person(role.title(), role).get("/").headers["location"] for role in ("rater", "viewer", "owner")
    }
    assert starts == {"rater": "/rate", "viewer": "/overview", "owner": "/overview"}


def test_the_guidelines_are_markdown_and_nothing_more(person: Callable[..., Person], site: Site) -> None:
    text = f"# Be fair\n\n{SCRIPT}\n\n[here](javascript:alert(1)) and ![](https://evil.example/x.png)\n"
    (site.folder / "guidelines.md").write_text(text)
    shown = person("Ada").get("/guidelines").text
    assert "<h1>Be fair</h1>" in shown and site.version in shown
    assert SCRIPT not in shown and 'href="javascript' not in shown and "<img" not in shown


def test_another_word_is_another_version(site: Site) -> None:
    (site.folder / "guidelines.md").write_text("one")
    first = site.version
    (site.folder / "guidelines.md").write_text("two")
    assert site.version != first


@pytest.mark.parametrize("text", [SCRIPT, "<img src=x onerror=alert(1)>", "<a href='data:text/html,x'>x</a>"])
def test_html_in_markdown_is_shown_as_text(text: str) -> None:
    assert "<script" not in markdown(text) and "<img" not in markdown(text) and "<a" not in markdown(text)
