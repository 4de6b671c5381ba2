"""What a judge of two answers is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from numpy.typing import NDArray

from tutelage.core.records import Message

Messages = Sequence[Message]


class Judge(Protocol):
    """Anything that says which of two answers to a prompt is better."""

    name: str

    def compare(self, prompts: Sequence[Messages], first: Sequence[str], second: Sequence[str]) -> NDArray:
        """Probability `(n,)` in fp64 that `first[i]` answers `prompts[i]` better than `second[i]`."""
        ...
