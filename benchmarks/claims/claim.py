"""A claim, the number that would hold, what was measured, and the line that comes of it. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Relation = Literal["<", "<=", ">", ">=", "="]
_SIGNS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "=": "exactly"}


@dataclass(frozen=True)
class Bound:
    """One condition on one end of what was measured: the value itself, or an end of its interval."""

    relation: Relation
    number: float
    end: Literal["value", "low", "high"] = "value"

    def holds(self, found: Measurement) -> bool:
        """Whether the measured end meets the bound; an end that was not measured, or is no number, does not."""
        x: float | None = getattr(found, self.end)
        if x is None or not math.isfinite(x):
            return False
        met = {"<": x < self.number, "<=": x <= self.number, ">": x > self.number, ">=": x >= self.number}
        return met.get(self.relation, x == self.number)

    def __str__(self) -> str:
        where = {"value": "", "low": "low end ", "high": "high end "}[self.end]
        return f"{where}{_SIGNS[self.relation]} {self.number:g}"


@dataclass(frozen=True)
class Claim:
    """`name` within its module, the claim as a sentence, its unit, and the bounds that must all be met."""

    name: str
    claim: str
    unit: str
    target: tuple[Bound, ...]


@dataclass(frozen=True)
class Measurement:
    """What a module found: the value, its interval (or range: the note says so), the number of samples.

    `seconds` is what the measurement took, counted by the runner if None.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    seed: int | None = None
    note: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class NotMeasured:
    """In place of a measurement: the claim was left out on purpose. It is told, and not recorded."""

    reason: str


class Row(Protocol):
    """What a module of a subject offers."""

    CLAIMS: tuple[Claim, ...]

    def measure(self) -> Iterator[tuple[str, Measurement | NotMeasured]]:
        """Yield the name of a claim and what was measured, one after the other."""
        ...


def line(row: str, claim: Claim, found: Measurement, seconds: float) -> dict[str, Any]:
    """The JSON line of one claim. `holds` is computed here from the numbers, and nowhere else."""
    said: dict[str, Any] = {
        "claim": claim.claim,
        "value": _number(found.value),
        "low": _number(found.low),
        "high": _number(found.high),
        "n": found.n,
        "unit": claim.unit,
        "target": " and ".join(str(bound) for bound in claim.target),
        "holds": all(bound.holds(found) for bound in claim.target),
        "seed": found.seed,
        "seconds": round(seconds if found.seconds is None else found.seconds, 2),
        "row": f"{row}.{claim.name}",
    }
    return said | ({"note": found.note} if found.note else {})


def skipped(row: str, claim: Claim, reason: str) -> dict[str, Any]:
    """The JSON line of a claim that was left out on purpose: told to the reader, and never recorded."""
    return line(row, claim, Measurement(None, 0, note=reason), 0.0) | {"skipped": True}


def failed(row: str, claim: Claim, reason: str, seconds: float) -> dict[str, Any]:
    """The JSON line of a claim that could not be measured: no value, and it does not hold."""
    return line(row, claim, Measurement(None, 0, note=reason), seconds)


def dumps(said: dict[str, Any]) -> str:
    """One line of strict JSON."""
    return json.dumps(said, ensure_ascii=False, allow_nan=False)


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
