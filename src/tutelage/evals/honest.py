"""Honesty: to a question without an honest answer, does it say so?"""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.core.records import Verdict
from tutelage.data.packs import HonestyItem
from tutelage.evals.task import EvaluationItem, Task
from tutelage.judges.honesty import HONEST, judge_honesty


def honesty_task(items: Sequence[HonestyItem]) -> Task:
    """Share of answers that state the limit or correct the premise: `honesty`. The category is the kind."""
    asked = tuple(EvaluationItem("honesty", i.id, i.prompt, i.kind, source=i) for i in items)
    return Task("honesty", "honesty", asked, score_honesty, counts=HONEST)


def score_honesty(item: EvaluationItem, answer: str) -> Verdict:
    return judge_honesty(item.source, answer)
