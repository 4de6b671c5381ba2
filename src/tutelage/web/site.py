"""One project as the pages see it: its accounts, its desk, its guidelines, and how often things may be done."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.pipeline.people import guideline_version, guidelines_of
from tutelage.preferences.accounts import Accounts
from tutelage.preferences.desk import Desk
from tutelage.preferences.pool import Pool
from tutelage.preferences.queue import Queue, read_queue
from tutelage.store.database import Database
from tutelage.web.limits import Limiter

METRICS_TOKEN = "TUTELAGE_METRICS_TOKEN"
"""Environment variable: with this bearer token a monitoring program may read `/metrics`."""


@dataclass
class Site:
    """What the pages work on."""

    name: str
    folder: Path
    database: Database
    accounts: Accounts
    desk: Desk
    limiter: Limiter = field(default_factory=Limiter)
    pool: Pool = field(default_factory=Pool)
    metrics_token: str = field(default_factory=lambda: os.environ.get(METRICS_TOKEN, ""))

    def queue(self) -> Queue:
        """How the work stands now."""
        return read_queue(self.database, self.desk.settings, self.pool)

    @property
    def guidelines(self) -> str:
        """What raters read, as it stands in the project now; empty where there are none."""
        return guidelines_of(self.folder)

    @property
    def version(self) -> str:
        """The guidelines' version: a hash of their text, so a changed word is another version."""
        return guideline_version(self.folder)
