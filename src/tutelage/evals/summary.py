"""From scored answers to the summary: each model's measures with intervals, and paired tests between models.

Yes-or-no measures have Wilson intervals; differences of them Tango's interval (1998) and McNemar's exact
test. The win rate has a score interval that knows its ties; a difference of two win rates has a paired
bootstrap interval and a permutation test. All pair the models item by item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tutelage.evals.capability import Choice
from tutelage.evals.helpful import LOSS, TIE, VALUES, WIN
from tutelage.evals.task import EvaluationRow, Task
from tutelage.judges.refusal import EMPTY
from tutelage.stats.intervals import Interval, bootstrap_bca, paired_difference, wilson, win_rate
from tutelage.stats.tests import mcnemar_exact, paired_permutation, sign_test

WIN_RATE = "win_rate_vs_base"


@dataclass(frozen=True)
class Scored:
    """One model's scored answers, and its options scored."""

    rows: Sequence[EvaluationRow]
    choices: Sequence[Choice] = field(default=())

    def outcomes(self, task: Task) -> list[bool]:
        return task.hits(self.rows)

    @property
    def verdicts_against_base(self) -> list[str]:
        """Win, tie or loss for each helpful prompt; none for the base itself, which is not judged."""
        return [row.verdict for row in self.rows if row.set == "helpful" and row.verdict]


def summarise(
    models: Mapping[str, Scored],
    tasks: Sequence[Task],
    *,
    base: str = "base",
    num_resamples: int = 2000,
    classifier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `summary.json` holds: measures by model, `paired`, `breakdown`, and the classifier's agreement.

    `models` is in the order of the stages; each is compared with every one before it.
    """
    answers = {name: _outcomes(found, tasks) for name, found in models.items()}
    wins = {name: [VALUES[v] for v in found.verdicts_against_base] for name, found in models.items()}
    names = list(models)
    paired: dict[str, Any] = {}
    for later, name in enumerate(names):
        for against in names[:later]:
            measures = {
                key: _yes_no_change(answers[name][key], answers[against][key])
                for key in answers[name]
                if key in answers[against]
            }
            if wins[name] and against == base:
                measures[WIN_RATE] = _against_even(models[name].verdicts_against_base)
            elif wins[name] and wins[against]:
                measures[WIN_RATE] = _win_change(wins[name], wins[against], num_resamples)
            paired[f"{name}_vs_{against}"] = measures
    return {
        **{n: _measures(found, answers[n], n == base, num_resamples) for n, found in models.items()},
        "paired": paired,
        "breakdown": {name: _breakdown(found, tasks) for name, found in models.items()},
        "classifier": dict(classifier or {}),
    }


def _outcomes(found: Scored, tasks: Sequence[Task]) -> dict[str, list[bool]]:
    """Yes or no for each item, by measure; a set without items is left out."""
    said = {task.measure: found.outcomes(task) for task in tasks if task.items}
    if found.choices:
        said["capability_accuracy"] = [choice.by_mean for choice in found.choices]
    return said


def _measures(
    found: Scored, outcomes: Mapping[str, Sequence[bool]], is_base: bool, num_resamples: int
) -> dict[str, Any]:
    said: dict[str, Any] = {key: asdict(wilson(sum(hits), len(hits))) for key, hits in outcomes.items()}
    num_helpful = sum(row.set == "helpful" for row in found.rows)
    if num_helpful and is_base:
        said[WIN_RATE] = {"value": 0.5, "low": 0.5, "high": 0.5, "n": num_helpful}  # by definition
    elif num_helpful:
        said[WIN_RATE] = asdict(_rate(found.verdicts_against_base))
    if found.choices:
        by_sum = sum(choice.by_sum for choice in found.choices)
        said["capability_accuracy_by_sum"] = asdict(wilson(by_sum, len(found.choices)))
    if found.rows:
        words = [len(row.answer.split()) for row in found.rows]
        said["answer_words"] = asdict(bootstrap_bca(words, num_resamples=num_resamples))
        said["answers_ended"] = asdict(wilson(sum(row.finished for row in found.rows), len(words)))
        said["answers_empty"] = asdict(wilson(sum(row.verdict == EMPTY for row in found.rows), len(words)))
    return said


def _rate(verdicts: Sequence[str]) -> Interval:
    return win_rate(verdicts.count(WIN), verdicts.count(TIE), verdicts.count(LOSS))


def _yes_no_change(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Any]:
    """Difference of two shares on the same items; its interval is the win rate's, on the scale -1 .. 1."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    rate = win_rate(only_first, len(first) - only_first - only_second, only_second)
    return _change(_doubled(rate), mcnemar_exact(first, second), "McNemar, exact")


def _against_even(verdicts: Sequence[str]) -> dict[str, Any]:
    """How far a win rate lies from one half, which is what the base has against itself."""
    rate, p = _rate(verdicts), sign_test(verdicts.count(WIN), verdicts.count(LOSS))
    return _change(Interval(rate.value - 0.5, rate.low - 0.5, rate.high - 0.5, rate.n), p, "sign test, exact")


def _win_change(first: Sequence[float], second: Sequence[float], num_resamples: int) -> dict[str, Any]:
    difference = paired_difference(first, second, num_resamples=num_resamples)
    return _change(difference, paired_permutation(first, second), "paired permutation")


def _doubled(rate: Interval) -> Interval:
    return Interval(2 * rate.value - 1, 2 * rate.low - 1, 2 * rate.high - 1, rate.n)


def _change(difference: Interval, p: float, test: str) -> dict[str, Any]:
    ends = {"low": difference.low, "high": difference.high}
    return {"difference": difference.value, **ends, "p": p, "n": difference.n, "test": test}


def _breakdown(found: Scored, tasks: Sequence[Task]) -> dict[str, Any]:
    """Each measure by category (harmful, honesty, capability), and over-refusal by how a prompt sounds."""
    said: dict[str, Any] = {}
    for task in tasks:
        rows = [row for row in found.rows if row.set == task.name]
        labels = [_group(row) for row in rows]
        said[task.measure] = _by(labels, [row.verdict == task.counts for row in rows])
    right = [choice.by_mean for choice in found.choices]
    said["capability_accuracy"] = _by([choice.category for choice in found.choices], right)
    return {key: groups for key, groups in said.items() if groups}


def _group(row: EvaluationRow) -> str:
    if row.set == "benign":
        return "sounds harmful" if row.sounds_harmful else "plain"
    return row.category or "other"


def _by(labels: Sequence[str], hits: Sequence[bool]) -> dict[str, Any]:
    names, yes = np.array(labels), np.array(hits, dtype=bool)
    return {
        name: asdict(wilson(int(yes[names == name].sum()), int((names == name).sum())))
        for name in dict.fromkeys(labels)
    }
