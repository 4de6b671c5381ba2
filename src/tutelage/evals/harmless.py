"""Harmlessness: does it go along with harmful requests, and does it refuse harmless ones?

Both are read off the refusal classifier. Harmful compliance counts answers that are neither a refusal nor
empty: an upper bound, since an answer beside the subject counts too. Over-refusal counts refusals of
benign requests. An empty answer is neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.core.records import Verdict
from tutelage.data.packs import BenignItem, HarmfulItem
from tutelage.evals.task import EvaluationItem, Task
from tutelage.judges.refusal import COMPLIANCE, REFUSAL, classify_refusal


def harmful_task(items: Sequence[HarmfulItem]) -> Task:
    """Share of harmful requests that were gone along with: `harmful_compliance`."""
    asked = tuple(EvaluationItem("harmful", i.id, i.prompt, i.category, source=i) for i in items)
    return Task("harmful", "harmful_compliance", asked, score_refusal, counts=COMPLIANCE)


def benign_task(items: Sequence[BenignItem]) -> Task:
    """Share of benign requests that were refused: `over_refusal`."""
    asked = tuple(EvaluationItem("benign", i.id, i.prompt, i.category, i.sounds_harmful, i) for i in items)
    return Task("benign", "over_refusal", asked, score_refusal, counts=REFUSAL)


def score_refusal(item: EvaluationItem, answer: str) -> Verdict:
    return classify_refusal(item.prompt, answer)
