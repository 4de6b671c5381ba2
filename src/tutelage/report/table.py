"""The main table: each measure of each model, its change against the base, and a small picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tutelage.report.glossary import MEASURES, OTHER, Measure
from tutelage.report.numbers import NONE, number, percent
from tutelage.report.plots import strip
from tutelage.report.sources import MODEL_NAMES, Change, Estimate, Evaluation
from tutelage.report.words import interval

SYMBOLS = {"better": "\u2713", "worse": "\u2717", "not distinguishable": "\u2248"}


class Cell(NamedTuple):
    """One model's value of one measure; `change` is against the base, None for the base itself."""

    model: str
    estimate: Estimate | None
    change: Change | None


class MeasureRow(NamedTuple):
    measure: Measure
    cells: Sequence[Cell]
    picture: str


def measure_rows(found: Evaluation | None) -> list[MeasureRow]:
    """A row for each measure that at least one model has."""
    if found is None:
        return []
    rows: list[MeasureRow] = []
    for measure in MEASURES:
        cells = [
            Cell(
                model,
                found.measures.get(model, {}).get(measure.key),
                found.change(measure.key, model) if model != "base" else None,
            )
            for model in found.measures
        ]
        if any(cell.estimate is not None for cell in cells):
            rows.append(MeasureRow(measure, cells, _picture(measure, cells)))
    return rows


class SmallTable(NamedTuple):
    """A measure by category: for each label what each model reached, as text, and how many prompts."""

    title: str
    rows: Sequence[tuple[str, Sequence[str], str]]


def small_tables(found: Evaluation | None, models: Sequence[str]) -> list[SmallTable]:
    """The measures by category, and what was measured beside them."""
    if found is None:
        return []
    tables: list[SmallTable] = []
    for measure in MEASURES:
        groups = found.breakdown.get(measure.key, {})
        rows = [
            (label.replace("_", " "), [_cell(by_model.get(m)) for m in models], _size(by_model.values()))
            for label, by_model in groups.items()
        ]
        if rows:
            tables.append(SmallTable(f"{measure.name}, {measure.better} is better", rows))
    rows = [
        (name, [_cell(found.other.get(m, {}).get(key), key == "answer_words") for m in models], "")
        for key, name in OTHER.items()
        if any(key in found.other.get(m, {}) for m in models)
    ]
    return [*tables, SmallTable("About the answers", rows)] if rows else tables


def _cell(estimate: Estimate | None, plain: bool = False) -> str:
    if estimate is None:
        return NONE
    if not plain:
        return f"{percent(estimate.value)} ({interval(estimate)})"
    return f"{number(estimate.value, 1)} ({number(estimate.low, 1)} to {number(estimate.high, 1)})"


def _size(estimates: Iterable[Estimate]) -> str:
    return "/".join(dict.fromkeys(f"{e.n:,}" for e in estimates))


def _picture(measure: Measure, cells: Sequence[Cell]) -> str:
    known = [(c.model, c.estimate) for c in cells if c.estimate is not None and c.estimate.known]
    marks = [(m, e.value, e.low or 0.0, e.high or 0.0) for m, e in known]
    if not marks:
        return ""
    said = "; ".join(f"{MODEL_NAMES[m]} {interval(e)}" for m, e in known)
    guide = 0.5 if measure.key == "win_rate_vs_base" else None
    name = f"strip-{measure.key.replace('_', '-')}"
    return strip(name, f"{measure.name} with 95% intervals", said, marks, guide)
