"""A project with prompts to rank, its pages, and clients that are signed in to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.projects import open_test_site
from tutelage.web.app import make_app
from tutelage.web.site import Site

PASSWORD = "correct horse battery staple"


@dataclass
class Person:
    """Somebody who is signed in: a client with their cookie, and the token of their writes."""

    name: str
    client: TestClient
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        return self.client.get(path, follow_redirects=False)

    def post(self, path: str, **json: Any) -> Any:
        return self.client.post(path, json=json, headers=self.headers)

    def put(self, path: str, **json: Any) -> Any:
        return self.client.put(path, json=json, headers=self.headers)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two practice prompts, then six to rank, of which one has nine responses."""
    with open_test_site(tmp_path) as made:
        yield made


@pytest.fixture
def visitor(site: Site) -> TestClient:
    """Somebody who is not signed in."""
    return TestClient(make_app(site, pages=False), base_url="http://rate.test")


@pytest.fixture
def person(site: Site) -> Callable[..., Person]:
    """`person("Ada", role="rater")`: somebody with an account, signed in over JSON."""
    app = make_app(site, pages=False)

    def make(name: str, role: str = "rater", **groups: str) -> Person:
        site.accounts.accept(site.accounts.invite(role, groups=groups), name, PASSWORD)
        client = TestClient(app, base_url="http://rate.test")
        answer = client.post("/api/sign-in", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return Person(name, client, {"X-CSRF-Token": answer.json()["csrf"]})

    return make
