"""Which subjects there are, which modules each has, and how they are named on the command line."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.claims.claim import Row

HERE = Path(__file__).parent


class UnknownClaim(Exception):
    """A name on the command line that is no subject and no row."""


def subjects() -> list[str]:
    """Names as people write them: `main-job` for the package `main_job`."""
    return sorted(p.parent.name.replace("_", "-") for p in HERE.glob("*/__init__.py"))


def rows(subject: str) -> tuple[str, ...]:
    """The module names of a subject, in the order of its table."""
    return importlib.import_module(_package(subject)).ROWS


def load(name: str) -> Row:
    """The module of `main-job.resume`. Importing it costs nothing but the claims; `measure` imports the rest."""
    subject, _, row = name.partition(".")
    return importlib.import_module(f"{_package(subject)}.{row}")  # type: ignore[return-value]


def chosen(asked: Sequence[str]) -> list[str]:
    """`SUBJECT.ROW` for everything asked for (all of it, if nothing is). Raises `UnknownClaim`."""
    names: list[str] = []
    for text in asked or subjects():
        subject, _, row = text.partition(".")
        if subject not in subjects():
            raise UnknownClaim(f"there is no subject '{subject}': there are {', '.join(subjects())}")
        if row and row not in rows(subject):
            raise UnknownClaim(f"{subject} has no row '{row}': it has {', '.join(rows(subject))}")
        names += [f"{subject}.{r}" for r in ((row,) if row else rows(subject))]
    return list(dict.fromkeys(names))


def _package(subject: str) -> str:
    return f"benchmarks.claims.{subject.replace('-', '_')}"
