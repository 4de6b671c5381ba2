"""What a report is made from: the files that stages leave in their artifact folders, read in one place.

A piece that is missing is None or empty, and its section of the page says so. A piece that is there but
cannot be read raises `StoreError`, because a report that silently leaves out a number misleads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.core.errors import StoreError
from tutelage.core.methods import MODEL_LABELS
from tutelage.core.recorder import read_metrics
from tutelage.core.records import Artifact
from tutelage.report.glossary import BY_KEY, OTHER
from tutelage.store.artifacts import read_artifact

MODEL_NAMES = {**MODEL_LABELS, "base": "Base"}
ALPHA = 0.05


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval and number of samples; the interval is absent where it is by "
    "definition."""

    value: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def read(cls, values: Any) -> Estimate | None:
        """None where there is no finite value."""
        if not isinstance(values, Mapping) or _finite(values.get("value")) is None:
            return None
        low, high = _finite(values.get("low")), _finite(values.get("high"))
        return cls(float(values["value"]), low, high, int(values.get("n") or 0))

    @property
    def known(self) -> bool:
        """Whether it is measured: has samples, and an interval with a width. The base's win rate has none."""
        return self.low is not None and self.high is not None and self.low < self.high and self.n > 0

    def plain(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True)
class Change:
    """A paired difference of one measure between two models on the same prompts (`model` minus `against`)."""

    measure: str
    model: str
    against: str
    difference: float
    low: float
    high: float
    p: float | None
    n: int
    test: str = ""

    @property
    def word(self) -> str:
        """`better`, `worse` or `not distinguishable`; the interval and the test must agree."""
        clear = (self.low > 0 or self.high < 0) and (self.p is None or self.p < ALPHA)
        if not clear:
            return "not distinguishable"
        upwards = self.difference > 0
        return "better" if upwards == (BY_KEY[self.measure].better == "higher") else "worse"


@dataclass(frozen=True)
class Answer:
    """What one model said to one evaluation prompt, and what was made of it."""

    kind: str
    item: str
    prompt: str
    text: str
    verdict: str
    category: str = ""
    sounds_harmful: bool = False


@dataclass(frozen=True)
class Evaluation:
    """The measures of each model, the paired changes, the classifier's own error, and the answers.

    Models stand in the order in which they were evaluated: the base first, the one that counts last.
    `other` holds what is measured beside the five measures, such as the answers' length; `breakdown` the
    measures by category, as measure -> category -> model.
    """

    measures: Mapping[str, Mapping[str, Estimate]]
    changes: Mapping[tuple[str, str, str], Change]
    classifier: Mapping[str, Any] = field(default_factory=dict[str, Any])
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict[str, Sequence[Answer]])
    other: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict[str, Mapping[str, Estimate]])
    breakdown: Mapping[str, Mapping[str, Mapping[str, Estimate]]] = field(
        default_factory=dict[str, Mapping[str, Mapping[str, Estimate]]]
    )

    def change(self, measure: str, model: str, against: str = "base") -> Change | None:
        return self.changes.get((measure, model, against))


@dataclass(frozen=True)
class Sources:
    """Everything that was found, by stage, in the order of the stages."""

    artifacts: Mapping[str, Artifact]
    ids: Mapping[str, str]
    curves: Mapping[str, Sequence[Mapping[str, Any]]]
    measured: Mapping[str, Mapping[str, Any]]
    judge: Mapping[str, Any] | None
    data: Mapping[str, Any] | None
    evaluation: Evaluation | None

    @property
    def finished(self) -> str:
        """When the last stage finished, as its manifest says; empty if none does."""
        return max((a.finished for a in self.artifacts.values()), default="")


def read_sources(folders: Mapping[str, Path]) -> Sources:
    """Read what the stages left in `folders` (stage name -> artifact folder, in order). Raises `StoreError`."""
    found = {stage: read_artifact(folder) for stage, folder in folders.items()}
    sealed = {stage: one for stage, one in found.items() if one is not None}
    measured = {s: _json(folders[s] / "measured.json") for s in ("reward", "referee") if s in folders}
    evaluate = folders.get("evaluate")
    return Sources(
        artifacts={stage: one.artifact for stage, one in sealed.items()},
        ids={stage: one.id for stage, one in sealed.items()},
        curves={s: read_metrics(f / "metrics.jsonl") for s, f in folders.items()},
        measured={stage: values for stage, values in measured.items() if values},
        judge=_json(folders["judge"] / "judge.json") if "judge" in folders else None,
        data=_json(folders["data"] / "data_report.json") if "data" in folders else None,
        evaluation=None if evaluate is None else read_evaluation(evaluate),
    )


def read_evaluation(folder: Path) -> Evaluation | None:
    """What the evaluation stage measured; None if it left no summary."""
    raw = _json(folder / "summary.json")
    if raw is None:
        return None
    stages = {m: values for m, values in raw.items() if m in MODEL_NAMES and isinstance(values, Mapping)}
    models = dict.fromkeys([*stages, *MODEL_NAMES])
    answers = {m: _answers(folder / "answers" / f"{m}.jsonl") for m in models}
    return Evaluation(
        measures={m: _estimates(values, BY_KEY) for m, values in stages.items()},
        changes={(c.measure, c.model, c.against): c for c in _changes(raw.get("paired"))},
        classifier=raw.get("classifier") or {},
        answers={model: rows for model, rows in answers.items() if rows},
        other={m: _estimates(values, OTHER) for m, values in stages.items()},
        breakdown=_breakdown(raw.get("breakdown") or {}),
    )


def series(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """The finite values of one metric by step."""
    values = [(int(line["step"]), _finite(line.get(key))) for line in lines if "step" in line]
    return [(step, value) for step, value in values if value is not None]


def _estimates(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Estimate]:
    read = {key: Estimate.read(values.get(key)) for key in keys}
    return {key: estimate for key, estimate in read.items() if estimate is not None}


def _breakdown(raw: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Estimate]]]:
    """`{model: {measure: {category: estimate}}}` turned so that models stand side by side."""
    turned: dict[str, dict[str, dict[str, Estimate]]] = {}
    for model in (m for m in raw if m in MODEL_NAMES):
        for measure, groups in raw[model].items():
            for label, estimate in _estimates(groups, groups).items():
                turned.setdefault(measure, {}).setdefault(label, {})[model] = estimate
    return turned


def _changes(paired: Any) -> list[Change]:
    """Paired results as `{"ppo_vs_base": {measure: {difference, low, high, p, n, test}}}`."""
    found: list[Change] = []
    for between, measures in paired.items() if isinstance(paired, Mapping) else ():
        model, _, against = str(between).partition("_vs_")
        for key, values in measures.items() if against and isinstance(measures, Mapping) else ():
            difference, low, high = (_finite(values.get(k)) for k in ("difference", "low", "high"))
            if key in BY_KEY and difference is not None and low is not None and high is not None:
                p, n = _finite(values.get("p")), int(values.get("n") or 0)
                found.append(
                    Change(key, model, against, difference, low, high, p, n, str(values.get("test", "")))
                )
    return found


def _answers(path: Path) -> list[Answer]:
    rows: list[Answer] = []
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except FileNotFoundError:
        return []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.append(
                Answer(
                    kind=str(row["set"]),
                    item=str(row["item"]),
                    prompt=str(row["prompt"]),
                    text=str(row["answer"]),
                    verdict=str(row.get("verdict") or ""),
                    category=str(row.get("category") or ""),
                    sounds_harmful=bool(row.get("sounds_harmful")),
                )
            )
        except (ValueError, KeyError, AttributeError, TypeError):
            raise StoreError(f"{path}:{number} is not an answer: run `tutelage evaluate` again") from None
    return rows


def _json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise StoreError(f"{path} is damaged: run its stage again with `tutelage run --force`") from None
    if not isinstance(values, dict):
        raise StoreError(f"{path} holds no object: run its stage again with `tutelage run --force`")
    return values


def _finite(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
