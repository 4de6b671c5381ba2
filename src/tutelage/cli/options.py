"""What several verbs share: the project they work in, overrides, and how progress is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tutelage.pipeline.project import Project

F = TypeVar("F", bound=Callable[..., Any])

OVERRIDES = "KEY=VALUE changes a setting of the recipe for this command only, such as ppo.iterations=4."


def project_option(command: F) -> F:
    """`--project DIR`, here or before the verb."""
    return click.option("--project", "-C", metavar="DIR", help="Work in the project at DIR.")(command)


def overrides_argument(command: F) -> F:
    """`key=value ...`"""
    return click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)


def progress_options(command: F) -> F:
    """`--plain` and `--json`."""
    command = click.option("--plain", "style", flag_value="plain", help="Plain lines, no bars.")(command)
    return click.option("--json", "style", flag_value="json", help="JSON lines on standard output.")(command)


def open_project(directory: str | None) -> Project:
    """The project that a verb works in."""
    from tutelage.pipeline.project import Project

    return Project(directory or click.get_current_context().find_root().obj or ".")
