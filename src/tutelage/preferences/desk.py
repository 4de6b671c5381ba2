"""What one rater is asked, and what becomes of the answer.

A task is given once to a rater and answered once: the same answer again is the same answer. What is acknowledged
is committed. Left out on purpose: which task comes next (`dealing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Connection, Row

from tutelage.core.errors import DataError, StoreError
from tutelage.core.records import Demonstration, Judgement, Prompt, Response
from tutelage.core.settings import PeopleSettings
from tutelage.preferences import gold
from tutelage.preferences.accounts import Rater
from tutelage.preferences.dealing import Dealer, Progress, nothing_measures
from tutelage.store import people, rounds
from tutelage.store.database import Database
from tutelage.store.records import keep_demonstrations

Kind = Literal["calibration", "work", "gold", "evaluation"]
Outcome = Literal["ranked", "cannot-judge", "all-bad"]
VALUES = ("helpful", "harmless", "honest")
LOWEST, HIGHEST = 1, 5
"""The scale of scores."""
UNTRAINED: Mapping[str, str] = {
    "calibration": gold.SPLIT,
    "gold": gold.SPLIT,
    rounds.KIND: rounds.SPLIT,
}
"""The split of judgements that train nothing, by kind of task."""


@dataclass(frozen=True)
class Asked:
    """What was asked, without the texts: `shown` are the ids of the responses in the order shown."""

    id: str
    kind: Kind
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One prompt for one rater, its responses in the order shown. `done` of `to_do` are behind them."""

    id: str
    kind: Kind
    prompt: Prompt
    responses: tuple[Response, ...]
    draft: Mapping[str, Any] | None
    done: int
    to_do: int

    @property
    def asked(self) -> Asked:
        """The same without the texts."""
        return Asked(self.id, self.kind, tuple(r.id for r in self.responses))


@dataclass(frozen=True)
class Answer:
    """What a rater said: tie groups of response ids, best first (partial allowed), and the rest if they wished.

    `scores` are 1 to 5 for helpful, harmless and honest, by response id. `better` is an answer of their own; it
    becomes a demonstration, but to a prompt of an evaluation: from those nothing may be learnt.
    """

    ranking: tuple[tuple[str, ...], ...] = ()
    outcome: Outcome = "ranked"
    scores: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    reason: str = ""
    better: str = ""
    seconds: float | None = None

    @property
    def counted(self) -> tuple[tuple[str, ...], ...]:
        """The ranking, unless the rater says that they cannot judge."""
        return () if self.outcome == "cannot-judge" else self.ranking


@dataclass(frozen=True)
class Submitted:
    """What became of an answer. In practice also whether it agreed with what was expected, and why."""

    judgement: str | None
    agreed: bool | None = None
    expected: tuple[tuple[str, ...], ...] = ()
    explanation: Mapping[str, str] | None = None


class Desk:
    """The desk of one project.

    `guideline` gives the version of the guidelines that raters read now; `measures` says whether a prompt is in a
    split that measures, so that it is drawn and never chosen.
    """

    def __init__(
        self,
        database: Database,
        settings: PeopleSettings,
        *,
        seed: int,
        guideline: Callable[[], str] = str,
        measures: Callable[[Prompt], bool] = nothing_measures,
    ) -> None:
        self.settings = settings
        self._database, self._guideline = database, guideline
        self._dealer = Dealer(settings, seed, measures)
        with database.begin() as connection:
            gold.keep_gold(connection, gold.shipped_gold())

    def next(self, rater: Rater) -> Task | None:
        """What the rater is asked now: an open task if there is one, or a new one; None where nothing waits."""
        with self._database.begin() as connection:
            _take_turns(connection, rater)
            row = people.open_task(connection, rater.id) or self._dealer.deal(connection, rater)
            return None if row is None else self._task(connection, rater, row)

    def asked(self, task_id: str, rater: Rater) -> Asked:
        """What one of the rater's own tasks asks. Raises `StoreError` if it is not there."""
        with self._database.read() as connection:
            row = _own(connection, task_id, rater)
        return Asked(row.id, row.kind, tuple(row.shown))

    def save_draft(self, task_id: str, rater: Rater, content: Mapping[str, Any]) -> None:
        """Keep what the page wants to find again.

        Raises `StoreError` if the task is not there or is done, `DataError` for what cannot be kept as JSON.
        """
        people.require_plain(content)
        with self._database.begin() as connection:
            if _own(connection, task_id, rater, lock=True).state != "open":
                raise StoreError("this task was handed in already: undo it to change it")
            people.keep_draft(connection, task_id, content)

    def submit(self, task_id: str, rater: Rater, answer: Answer) -> Submitted:
        """Hand an answer in.

        In practice the first answer counts, since after it one knows what was expected. Raises `DataError` for an
        answer that does not fit the task, `StoreError` if another one was handed in.
        """
        people.require_text(answer.reason, answer.better)
        with self._database.begin() as connection:
            _take_turns(connection, rater)
            row = _own(connection, task_id, rater, lock=True)
            given = _plain(answer)
            submitted = _submitted(connection, row, answer)
            if row.state == "done":
                if row.answer != given:
                    raise StoreError("this task was handed in with another answer: undo that one first")
                return submitted
            _check(answer, row.shown)
            judgement = self._judgement(row, rater, answer)
            if answer.better and row.kind != rounds.KIND:
                keep_demonstrations(connection, [self._demonstration(connection, row, rater, answer.better)])
            first = row.kind == "calibration" and row.agreed is not None
            agreed = bool(row.agreed) if first else submitted.agreed
            trains = row.kind not in UNTRAINED
            people.finish_task(connection, task_id, given, judgement, agreed, trains)
            return replace(submitted, judgement=judgement.id if judgement else None)

    def undo(self, rater: Rater) -> Task | None:
        """Open the last answered task again; what it became is withdrawn and kept in the history."""
        with self._database.begin() as connection:
            _take_turns(connection, rater)
            row = people.last_done(connection, rater.id)
            if row is None:
                return None
            if (better := row.answer["better"]) and row.kind != rounds.KIND:
                mine = self._demonstration(connection, row, rater, better)
                people.withdraw_demonstration(connection, mine)
            people.reopen_task(connection, row)
            return self._task(connection, rater, row)

    def report_problem(self, task_id: str, rater: Rater, text: str) -> None:
        """Keep what a rater says is wrong with a task. Raises `StoreError` if it is not theirs."""
        people.require_text(text)
        with self._database.begin() as connection:
            people.keep_problem(connection, _own(connection, task_id, rater).id, text)

    def progress(self, rater: Rater) -> Progress:
        """How far the rater is."""
        with self._database.read() as connection:
            return self._dealer.progress(connection, rater)

    def is_spent(self) -> bool:
        """Whether the budget of judgements or minutes is used up."""
        with self._database.read() as connection:
            return not self._dealer.budget(connection).left

    def _task(self, connection: Connection, rater: Rater, row: Row[Any]) -> Task:
        (prompt,) = people.prompts_of(connection, [row.prompt_id])
        shown = people.responses_of(connection, row.shown)
        at = self._dealer.progress(connection, rater)
        draft = people.draft_of(connection, row.id)
        return Task(row.id, row.kind, prompt, shown, draft, at.done, at.to_do)

    def _judgement(self, row: Row[Any], rater: Rater, answer: Answer) -> Judgement | None:
        """What the answer says as a record; None where it ranks nothing."""
        if not answer.counted:
            return None
        return Judgement(
            prompt_id=row.prompt_id,
            shown=tuple(row.shown),
            ranking=answer.counted,
            rater=rater.name,
            guideline=self._guideline(),
            reason=answer.reason,
            scores={r: dict(of) for r, of in answer.scores.items()},
            seconds=answer.seconds,
            split=UNTRAINED.get(row.kind, ""),
        )

    def _demonstration(
        self, connection: Connection, row: Row[Any], rater: Rater, better: str
    ) -> Demonstration:
        (prompt,) = people.prompts_of(connection, [row.prompt_id])
        return Demonstration(prompt, better, rater.name, self._guideline())


def _submitted(connection: Connection, row: Row[Any], answer: Answer) -> Submitted:
    """What the rater learns. Gold among the work looks like work, so nothing is told of it."""
    if row.kind in ("work", rounds.KIND):
        return Submitted(row.judgement_id)
    known = people.gold_of(connection)[row.unit]
    agreed = gold.agrees(answer.counted, known.expected)
    if row.kind == "gold":
        return Submitted(row.judgement_id, agreed)
    expected = tuple(tuple(group) for group in known.expected)
    return Submitted(row.judgement_id, agreed, expected, known.explanation)


def _take_turns(connection: Connection, rater: Rater) -> None:
    """One tab of a rater at a time."""
    if not people.take_turns(connection, rater.id):
        raise StoreError("this account is no longer there: ask the owner for an invitation")


def _own(connection: Connection, task_id: str, rater: Rater, lock: bool = False) -> Row[Any]:
    row = people.own_task(connection, task_id, rater.id, lock)
    if row is None:
        raise StoreError("there is no such task of yours: open the page again")
    return row


def _check(answer: Answer, shown: Sequence[str]) -> None:
    """Raise `DataError` for an answer that does not fit what was shown."""
    if answer.outcome == "ranked" and not answer.ranking:
        raise DataError("nothing is ranked: rank at least one response, or say that you cannot judge")
    for response, scores in answer.scores.items():
        if response not in shown:
            raise DataError("a score is for a response that was not shown")
        for name, value in scores.items():
            if name not in VALUES or not LOWEST <= value <= HIGHEST:
                raise DataError(f"scores go from {LOWEST} to {HIGHEST}, for {', '.join(VALUES)}")


def _plain(answer: Answer) -> dict[str, Any]:
    """An answer as JSON keeps it, without the seconds: they differ when the same answer is sent twice."""
    kept = {name: value for name, value in asdict(answer).items() if name != "seconds"}
    return {**kept, "ranking": [list(group) for group in answer.ranking]}
