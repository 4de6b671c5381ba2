"""The main table: each measure of each model, its change against the base, and a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tutelage.report.glossary import MEASURES, Measure
from tutelage.report.plots import strip
from tutelage.report.sources import MODEL_NAMES, MODELS, Change, Estimate, Evaluation
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
            for model in MODELS
            if model in found.measures
        ]
        if any(cell.estimate is not None for cell in cells):
            rows.append(MeasureRow(measure, cells, _picture(measure, cells)))
    return rows


def _picture(measure: Measure, cells: Sequence[Cell]) -> str:
    known = [(c.model, c.estimate) for c in cells if c.estimate is not None and c.estimate.known]
    marks = [(m, e.value, e.low or 0.0, e.high or 0.0) for m, e in known]
    if not marks:
        return ""
    said = "; ".join(f"{MODEL_NAMES[m]} {interval(e)}" for m, e in known)
    guide = 0.5 if measure.key == "win_rate_vs_base" else None
    name = f"strip-{measure.key.replace('_', '-')}"
    return strip(name, f"{measure.name} with 95% intervals", said, marks, guide)
