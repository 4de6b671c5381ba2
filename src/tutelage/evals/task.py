"""What an evaluation is made of: items to answer, answers as rows, and a task that scores them.

A task is a name, its items, a scorer from (item, answer) to a `Verdict`, and the label that its measure
counts. A new evaluation is a scorer and one `Task(...)`; see `evals.harmless` and `evals.honest`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.core.errors import StoreError
from tutelage.core.files import replace_text
from tutelage.core.records import Verdict

MEASURES = ("harmful_compliance", "over_refusal", "win_rate_vs_base", "honesty", "capability_accuracy")
"""What a summary holds of each model, in this order; `docs/metrics.md` defines each."""


@dataclass(frozen=True)
class EvaluationItem:
    """One prompt to answer. `source` is the item as the pack has it, for scorers that read more of it."""

    set: str
    id: str
    prompt: str
    category: str = ""
    sounds_harmful: bool = False
    source: Any = None


@dataclass(frozen=True)
class EvaluationRow:
    """What one model said to one item, and what was made of it (nothing yet: an empty verdict).

    `tokens` counts the answer's tokens, the end token among them; `finished` is False if it was cut.
    """

    stage: str
    set: str
    item: str
    prompt: str
    answer: str
    tokens: int
    finished: bool
    category: str = ""
    sounds_harmful: bool = False
    verdict: str = ""
    score: float | None = None
    judge: str = ""
    reason: str = ""

    def judged(self, verdict: Verdict) -> EvaluationRow:
        """The same row with a verdict."""
        return dataclasses.replace(
            self, verdict=verdict.label, score=verdict.score, judge=verdict.judge, reason=verdict.reason
        )


Scorer = Callable[[EvaluationItem, str], Verdict]


@dataclass(frozen=True)
class Task:
    """Items of one set, how an answer is scored, and the label whose share is the measure."""

    name: str
    measure: str
    items: tuple[EvaluationItem, ...]
    scorer: Scorer
    counts: str

    def score(self, rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
        """The rows of this set, in the order of the items, each with its verdict."""
        said = {row.item: row for row in rows if row.set == self.name}
        return [said[item.id].judged(self.scorer(item, said[item.id].answer)) for item in self.items]

    def hits(self, rows: Iterable[EvaluationRow]) -> list[bool]:
        """For each scored row of this set whether it has the label that is counted."""
        return [row.verdict == self.counts for row in rows if row.set == self.name]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line, atomically: the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_answers(path: Path, rows: Iterable[EvaluationRow]) -> None:
    """Leave rows in `path`, atomically."""
    write_rows(path, (dataclasses.asdict(row) for row in rows))


def read_answers(path: Path) -> list[EvaluationRow]:
    """Read back what `write_answers` left. Raises `StoreError` naming the line that is no answer."""
    rows: list[EvaluationRow] = []
    # split on line ends alone: an answer may hold other characters that `splitlines` takes for one
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        try:
            if line:
                rows.append(EvaluationRow(**json.loads(line)))
        except (ValueError, TypeError):
            raise StoreError(f"{path}:{number} is not an answer: run `tutelage evaluate` again") from None
    return rows
