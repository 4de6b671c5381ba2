"""`tutelage raters` and `tutelage serve rate`: what they print, and the one sentence where they cannot."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_inviting_and_closing(folder: Path, command: Command) -> None:
    assert "nobody yet" in command("raters", "list").output
    link = command(
        "raters", "invite", "--name", "Ada", "--group", "region=north", "--address", "https://r.example/"
    )
    assert link.output.startswith("https://r.example/invite/") and link.output.count("\n") == 1
    from tutelage.pipeline.people import open_people
    from tutelage.pipeline.project import Project

    with open_people(Project(folder)) as people:
        people.accounts.accept(link.output.strip().rsplit("/", 1)[1], "Ada", "correct horse battery")
    assert "Ada" in command("raters", "list").output and "region=north" in command("raters", "list").output
    assert "closed" in command("raters", "deactivate", "ada").output
    (known,) = json.loads(command("raters", "list", "--json").output)
    assert known["name"] == "Ada" and known["active"] is False and "password" not in known


def test_links_lead_to_the_recipes_port(folder: Path, command: Command) -> None:
    assert command("raters", "invite").output.startswith("http://127.0.0.1:8080/invite/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deactivate", "Nobody"), "nobody is called 'Nobody'"),
        (("invite", "--group", "north"), "'north' is not NAME=VALUE"),
        (("invite", "--role", "king"), "'king' is not one of"),
        (("invite", "--days", "0"), "0 is not in the range"),
    ],
)
def test_one_sentence_for_what_cannot_be(
    folder: Path, command: Command, arguments: tuple[str, ...], said: str
) -> None:
    result = command("raters", *arguments)
    assert result.exit_code == 2 and said in result.output and "Traceback" not in result.output


def test_a_taken_port_is_told(folder: Path, command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = command("serve", "rate", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2 and "choose another with --host and --port" in result.output


def test_without_the_extra_it_says_what_to_install(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.web.find_spec", lambda _: None)
    result = command("serve", "rate")
    assert result.exit_code == 2 and "pip install 'tutelage[web]'" in result.output
