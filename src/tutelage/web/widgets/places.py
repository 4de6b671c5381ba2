"""Which place each response of one task has: what the ranking widget shows and every gesture changes.

Pure values, so that mouse, touch and keyboard are ways to call the same few functions. A place is a number
from 1 (the best); the same place twice is a tie; a response without one is not judged. Places may have
gaps while a rater works ("2" given before "1"); `groups` closes them.
Left out on purpose: how it looks (`ranking.py`), and what becomes of it (`preferences/desk.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Places:
    """The places given so far. `keys` are all responses in the order shown."""

    keys: tuple[str, ...]
    given: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def read(cls, keys: Sequence[str], saved: Any) -> Self:
        """From a draft; what a draft should not hold is left out rather than believed."""
        rows = saved.items() if isinstance(saved, Mapping) else ()
        whole = {k: v for k, v in rows if k in keys and isinstance(v, int) and 1 <= v <= len(keys)}
        return cls(tuple(keys), whole)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Tie groups, the best first, without gaps."""
        numbers = sorted(set(self.given.values()))
        return tuple(tuple(k for k in self.keys if self.given.get(k) == n) for n in numbers)

    @property
    def ranked(self) -> tuple[str, ...]:
        """Every placed response, the best first; those tied in the order shown."""
        return tuple(key for group in self.groups for key in group)

    @property
    def unplaced(self) -> tuple[str, ...]:
        return tuple(k for k in self.keys if k not in self.given)

    def put(self, key: str, place: int) -> Self:
        """Give a place; a place that another response has makes a tie, one out of range changes nothing."""
        if key not in self.keys or not 1 <= place <= len(self.keys):
            return self
        return replace(self, given={**self.given, key: place})

    def toggle(self, key: str, place: int) -> Self:
        """Give a place, or take it back if the response has it."""
        return self.take(key) if self.given.get(key) == place else self.put(key, place)

    def append(self, key: str) -> Self:
        """The place after the last one given."""
        if key not in self.keys or key in self.given:
            return self
        return self._of((*self.groups, (key,)))

    def take(self, key: str) -> Self:
        """Not judged after all. The places of the others stay."""
        return replace(self, given={k: v for k, v in self.given.items() if k != key})

    def up(self, key: str) -> Self:
        """One step better: out of a tie to just above it, or past the group above."""
        return self._step(key, -1)

    def down(self, key: str) -> Self:
        """One step worse: out of a tie to just below it, or past the group below."""
        return self._step(key, +1)

    def tie(self, key: str) -> Self:
        """Join the group above; a response that is tied already leaves its group, to just below it."""
        groups, spot = self._spot(key)
        if spot is None:
            return self
        if len(groups[spot]) > 1:
            return self.down(key)
        if spot == 0:
            return self
        groups[spot - 1] += groups.pop(spot)
        return self._of(groups)

    def drop(self, key: str, order: Sequence[str]) -> Self:
        """After a drag: `order` is the list as it stands now, with `key` in it or not.

        A response dropped between two that are tied joins them; anywhere else it has a place of its own.
        """
        if key not in self.keys:
            return self
        rest = self.take(key)
        if key not in order:
            return rest
        spot = order.index(key)
        before = order[spot - 1] if spot > 0 else None
        after = order[spot + 1] if spot + 1 < len(order) else None
        groups = [list(group) for group in rest.groups]
        for n, group in enumerate(groups):
            if before in group and after in group:
                group.append(key)
                return self._of(groups)
            if after in group:
                groups.insert(n, [key])
                return self._of(groups)
        return self._of([*groups, [key]])

    def rest_below(self) -> Self:
        """All that have no place: tied, below the others ("these are the best, the rest is alike")."""
        return self._of((*self.groups, self.unplaced)) if self.unplaced else self

    def rest_above(self) -> Self:
        """All that have no place: tied, above the others ("this is the worst, the rest is alike")."""
        return self._of((self.unplaced, *self.groups)) if self.unplaced else self

    def _step(self, key: str, by: int) -> Self:
        groups, spot = self._spot(key)
        if spot is None:
            return self
        if len(groups[spot]) > 1:
            groups[spot].remove(key)
            groups.insert(spot if by < 0 else spot + 1, [key])
        elif 0 <= spot + by < len(groups):
            groups[spot], groups[spot + by] = groups[spot + by], groups[spot]
        return self._of(groups)

    def _spot(self, key: str) -> tuple[list[list[str]], int | None]:
        groups = [list(group) for group in self.groups]
        return groups, next((n for n, group in enumerate(groups) if key in group), None)

    def _of(self, groups: Iterable[Iterable[str]]) -> Self:
        given = {key: place for place, group in enumerate(groups, start=1) for key in group}
        return replace(self, given=given)


def in_words(places: Places, key: str) -> str:
    """Where a response stands, for a screen reader: "B, place 2 of 3, tied with D"."""
    for number, group in enumerate(places.groups, start=1):
        if key in group:
            others = " and ".join(k for k in group if k != key)
            tied = f", tied with {others}" if others else ""
            return f"{key}, place {number} of {len(places.groups)}{tied}"
    return f"{key}, not placed"


def summary(places: Places) -> str:
    """The whole ranking in one line: "B › A = D"."""
    return " › ".join(" = ".join(group) for group in places.groups)
