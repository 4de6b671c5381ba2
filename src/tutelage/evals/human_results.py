"""What a round of blind evaluation came to, as it is kept in the store and told on pages and in the report.

Left out on purpose: how it is computed (`human_scoring.py`), and the words (`human_words.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.core.errors import StoreError
from tutelage.stats.betting import Conclusion
from tutelage.stats.intervals import Interval


@dataclass(frozen=True)
class Pair:
    """`model` against `against`. `wins`, `ties` and `losses` are judgements, `rate` is over prompts.

    `more`: about how many prompts more until there is a conclusion, None if that is not in sight. `waiting` prompts
    have not all their raters yet, `unjudged` ones nobody could judge, and `alike` ones were not asked.
    """

    model: str
    against: str
    wins: int
    ties: int
    losses: int
    rate: Interval | None
    conclusion: Conclusion
    more: int | None
    waiting: int
    unjudged: int
    alike: int
    kinds: Mapping[str, Interval]


@dataclass(frozen=True)
class Results:
    """A round. `level` is the confidence of one pair's interval. `scores`: by model, value and kind ("": all).

    `ratings` (logits, mean 0) are there for three models or more; their intervals and those of scores are of one
    look. `agreement` is Krippendorff's alpha of win, tie and loss; `agreed` the share of pairs of raters who said
    the same.
    """

    round: str
    number: int
    models: tuple[str, ...]
    evaluation: str
    test_set: str
    prompts: int
    opened: str
    closed: str | None
    raters: int
    judgements: int
    cannot_judge: int
    raters_each: int
    confidence: float
    level: float
    margin: float
    median_seconds: float | None
    pairs: tuple[Pair, ...]
    ratings: Mapping[str, Interval]
    scores: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    agreement: Interval | None
    agreed: float | None

    @property
    def settled(self) -> bool:
        """Whether every pair has its conclusion."""
        return all(pair.conclusion != "open" for pair in self.pairs)

    @property
    def waiting(self) -> int:
        """Pairs of answers that still want a rater."""
        return sum(pair.waiting for pair in self.pairs)

    @property
    def more(self) -> int | None:
        """About how many judgements more until all is settled; None if this test set will hardly do."""
        of = [0 if p.conclusion != "open" else p.more for p in self.pairs]
        enough = all(n is not None and n <= p.waiting for n, p in zip(of, self.pairs, strict=True))
        return self.raters_each * sum(n or 0 for n in of) if enough else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Results:
        """The inverse of `to_dict`. Raises `StoreError` if the store holds something else."""
        try:
            pairs = [
                Pair(**{**p, "rate": _interval(p["rate"]), "kinds": _intervals(p["kinds"])})
                for p in values["pairs"]
            ]
            scores = {
                model: {value: _intervals(kinds) for value, kinds in of.items()}
                for model, of in values["scores"].items()
            }
            read = {
                "models": tuple(values["models"]),
                "pairs": tuple(pairs),
                "ratings": _intervals(values["ratings"]),
                "scores": scores,
                "agreement": _interval(values["agreement"]),
            }
            return cls(**{**values, **read})
        except (KeyError, TypeError, AttributeError):
            raise StoreError("the results of a closed round cannot be read: update Tutelage") from None


def _interval(values: Mapping[str, Any] | None) -> Interval | None:
    return None if values is None else Interval(**values)


def _intervals(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Interval]:
    return {name: Interval(**of) for name, of in values.items()}
