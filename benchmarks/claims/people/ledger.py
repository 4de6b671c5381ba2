"""What simulated raters sent and were told is kept, what a database has, and what is lost or doubled between them.

Rankings are tie groups of the responses' texts, best first: a rater knows responses by letter and text alone,
and the texts that we fill in are each other's unlike. Left out on purpose: how either side is read (`served.py`,
`crowd_over_http.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ranking = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Given:
    """One ranking by one rater."""

    rater: str
    ranking: Ranking


@dataclass
class Ledger:
    """By task: the ranking that was sent and whether it was acknowledged; drafts in the order in which they went.

    `draft_known` is the place of the last acknowledged draft in `drafts`.
    """

    sent: dict[str, Given] = field(default_factory=dict[str, Given])
    acknowledged: set[str] = field(default_factory=set[str])
    drafts: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict[str, list[Mapping[str, Any]]])
    draft_known: dict[str, int] = field(default_factory=dict[str, int])

    def send_draft(self, task: str, content: Mapping[str, Any]) -> int:
        """Note that a draft goes out; its place among the task's drafts."""
        self.drafts.setdefault(task, []).append(content)
        return len(self.drafts[task]) - 1

    def know_draft(self, task: str, place: int) -> None:
        self.draft_known[task] = max(place, self.draft_known.get(task, -1))


@dataclass(frozen=True)
class KeptTask:
    """A task as the database has it; `answer` is the judgement that it became, if runs or practice have it."""

    rater: str
    done: bool
    answer: Ranking | None


@dataclass(frozen=True)
class Kept:
    """The database: tasks and drafts by task id, and every judgement."""

    tasks: Mapping[str, KeptTask]
    drafts: Mapping[str, Mapping[str, Any]]
    judgements: Sequence[Given]


def lost(ledger: Ledger, kept: Kept) -> list[str]:
    """Tasks whose ranking was acknowledged and is not there: not at all, not this rater's, or not as it was sent."""
    return [
        task
        for task in sorted(ledger.acknowledged)
        if kept.tasks.get(task) != KeptTask(ledger.sent[task].rater, True, ledger.sent[task].ranking)
    ]


def doubled(ledger: Ledger, kept: Kept) -> int:
    """Judgements beyond one for each ranking that was sent, and judgements that nobody sent."""
    judgements = Counter((one.rater, frozenset(_texts(one.ranking))) for one in kept.judgements)
    sent = {(one.rater, frozenset(_texts(one.ranking))) for one in ledger.sent.values()}
    return sum(count - (question in sent) for question, count in judgements.items())


def lost_drafts(ledger: Ledger, kept: Kept) -> list[str]:
    """Tasks that are open still, whose last acknowledged draft is gone, with none that was sent later in its place."""
    gone: list[str] = []
    for task, known in sorted(ledger.draft_known.items()):
        there = kept.tasks.get(task)
        if there is not None and there.done and task in ledger.sent:
            continue
        if kept.drafts.get(task) not in ledger.drafts[task][known:]:
            gone.append(task)
    return gone


def open_drafts(ledger: Ledger, kept: Kept) -> int:
    """How many acknowledged drafts a database should hold: those of tasks that it does not have as done."""
    done = {task for task, one in kept.tasks.items() if one.done}
    return len(ledger.draft_known.keys() - done)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed. Raises `ValueError` for none."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _texts(ranking: Ranking) -> list[str]:
    return [text for group in ranking for text in group]
