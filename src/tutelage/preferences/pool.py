"""Which prompts can be ranked: those with two or more responses of one of the project's own policies.

Of several policies that answered a prompt, the one that finished last is asked about, with nine of its responses at
most. What there is changes only when a stage ends, so it is read again only then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from tutelage.store import tables
from tutelage.store.people import unit_id

FEWEST, MOST = 2, 9


@dataclass(frozen=True)
class Unit:
    """A prompt with the responses to rank: all ids, and the unit's own name."""

    prompt_id: str
    responses: tuple[str, ...]
    id: str


class Pool:
    """The prompts to rank, as the database has them."""

    def __init__(self) -> None:
        self._seen: Any = None
        self._units: dict[str, Unit] = {}

    def units(self, connection: Connection) -> Mapping[str, Unit]:
        """What can be ranked, by prompt id and in the order of these ids."""
        a, r = tables.artifacts.c, tables.responses.c
        state = tuple(connection.execute(select(func.count(), func.max(a.finished))).one())
        if state != self._seen:
            joined = tables.responses.join(tables.artifacts, a.id == r.policy)
            query = select(r.prompt_id, r.policy, r.id).select_from(joined)
            by_policy: dict[str, dict[str, list[str]]] = {}
            for prompt_id, policy, response_id in connection.execute(
                query.order_by(a.finished, r.policy, r.id)
            ):
                by_policy.setdefault(prompt_id, {}).setdefault(policy, []).append(response_id)
            newest = {
                prompt: list(groups.values())[-1][:MOST] for prompt, groups in sorted(by_policy.items())
            }
            self._units = {
                p: Unit(p, tuple(ids), unit_id(ids)) for p, ids in newest.items() if len(ids) >= FEWEST
            }
            self._seen = state
        return self._units
