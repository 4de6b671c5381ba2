"""An attack: what is tried, what success would show, and the tries themselves with what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.claims.people.intrusion.scene import Scene


class Try(NamedTuple):
    """One try in words, and whether it got through."""

    what: str
    through: bool


@dataclass(frozen=True)
class Attack:
    """`success` is what would be seen if it got through, `stopped` what stops it; both go into the table."""

    name: str
    tried: str
    success: str
    stopped: str
    run: Callable[[Scene], Iterator[Try]]
