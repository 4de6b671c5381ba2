"""A project's people, opened: its database, its accounts and its desk, as the recipe sets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.core.hashing import content_id
from tutelage.core.recipe import Recipe
from tutelage.core.records import Prompt
from tutelage.core.settings import DataSettings
from tutelage.data.prompts import SPLITS
from tutelage.data.splits import split_of
from tutelage.preferences.accounts import Accounts
from tutelage.preferences.desk import Desk
from tutelage.store.database import Database

if TYPE_CHECKING:
    from tutelage.pipeline.project import Project


@dataclass(frozen=True)
class People:
    """What the pages and the commands for raters work on."""

    folder: Path
    recipe: Recipe
    database: Database
    accounts: Accounts
    desk: Desk

    def address(self, given: str | None = None) -> str:
        """Where the pages are reached: as given, or at the host and port of the recipe."""
        return address_of(self.recipe.people.host, self.recipe.people.port, given)


@contextmanager
def open_people(project: Project) -> Iterator[People]:
    """Open a project's people. Raises `TutelageError` with one sentence."""
    recipe = project.recipe()
    with Database.open(recipe.database, project.path) as database:
        accounts = Accounts(database, session_hours=recipe.people.session_hours)
        desk = Desk(
            database,
            recipe.people,
            seed=recipe.seed,
            guideline=partial(guideline_version, project.path),
            measures=partial(measures, recipe.data),
        )
        yield People(project.path, recipe, database, accounts, desk)


def measures(data: DataSettings, prompt: Prompt) -> bool:
    """Whether people's word on a prompt measures or referees: by a split that was stated, or by its opening."""
    stated = prompt.split if prompt.split in SPLITS else ""
    return (stated or split_of(prompt, data.referee_share, data.measure_share)) != "reward"


GUIDELINES = "guidelines.md"


def guidelines_of(folder: Path) -> str:
    """What raters read, as it stands in the project now; empty where there are none."""
    try:
        return (folder / GUIDELINES).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def guideline_version(folder: Path) -> str:
    """The guidelines' version: a hash of their text, so a changed word is another version."""
    return content_id("guidelines", guidelines_of(folder))[:8]


def address_of(host: str, port: int, given: str | None = None) -> str:
    """An address to put into a link; all addresses of a machine (0.0.0.0) are reached on it as localhost."""
    if given:
        return given.rstrip("/")
    shown = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
