"""The commands on a project with fake stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.pipeline.fakes import FAKES, make_project
from tutelage.cli.group import tutelage
from tutelage.pipeline.project import Project

Command = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, current, whose stages are the fakes."""
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made)
    monkeypatch.setitem(Project.__init__.__kwdefaults__, "stages", FAKES)
    return made


@pytest.fixture
def command() -> Command:
    """Runs `tutelage ...` in this process."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(tutelage, list(arguments), input=stdin, prog_name="tutelage")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
