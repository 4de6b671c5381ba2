"""Cross-validation of reward models: folds by prompt, and what is made of all folds together. No torch.

Comparisons that share an opening message stand or fall together: they are in one fold, intervals draw openings,
and tests compare two models opening by opening. Every comparison is tested once, by a model that saw nothing of
its opening, neither in training nor for its temperature.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.claims.training_core.ensembles import BINS, noise
from tutelage.core.files import replace_text
from tutelage.stats.calibration import (
    as_confidence,
    debiased_calibration_error,
    equal_mass_bins,
    expected_calibration_error,
)
from tutelage.stats.clustered import clustered_bootstrap
from tutelage.stats.intervals import Interval
from tutelage.stats.tests import paired_permutation

SEED = 0


@dataclass(frozen=True)
class Answers:
    """What a model said of the comparisons of one fold, or of several together.

    `margins` are scores of the better response less the worse, and `sure` the same over the temperature that
    was fitted on other comparisons. All lists run alike: `names` of comparisons, `openings`, `sources`.
    """

    names: tuple[str, ...]
    openings: tuple[str, ...]
    sources: tuple[str, ...]
    margins: tuple[float, ...]
    sure: tuple[float, ...]
    trained_on: int
    seconds: float
    code: str = ""

    @property
    def right(self) -> NDArray[np.float64]:
        """1 where the better response has the higher score, 0.5 where both are equal, `(n,)`."""
        return 0.5 + 0.5 * np.sign(np.array(self.margins, dtype=np.float64))

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Answers:
        kept = json.loads(path.read_text())
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in kept.items()})


def fold_of(units: Sequence[str], count: int, seed: int = SEED) -> list[int]:
    """The fold, below `count`, of each item: one for all items of a unit, folds of nearly equally many items.

    Units come in a random order, the largest first, and go to the fold that has the fewest items so far.
    """
    sizes, filled = Counter(units), [0] * count
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    placed: dict[str, int] = {}
    for unit in sorted(order, key=lambda one: -sizes[one]):
        placed[unit] = min(range(count), key=lambda fold: filled[fold])
        filled[placed[unit]] += sizes[unit]
    return [placed[unit] for unit in units]


def some(units: Sequence[str], count: int, seed: int = SEED) -> list[int]:
    """Places of about `count` items, whole units of them, drawn at random and in their order."""
    order = sorted(set(units))
    random.Random(seed).shuffle(order)
    sizes, kept, items = Counter(units), set[str](), 0
    for unit in order:
        if items >= count:
            break
        kept.add(unit)
        items += sizes[unit]
    return [place for place, unit in enumerate(units) if unit in kept]


def together(parts: Sequence[Answers]) -> Answers:
    """The folds of one model as one, in the order of the comparisons' names.

    Raises `ValueError` if a comparison is in two of them.
    """
    rows = sorted(
        (row for p in parts for row in zip(p.names, p.openings, p.sources, p.margins, p.sure, strict=True)),
        key=lambda row: row[0],
    )
    names, openings, sources, margins, sure = zip(*rows, strict=True)
    if len(set(names)) != len(names):
        raise ValueError("a comparison was tested in two folds")
    code = ", ".join(dict.fromkeys(p.code for p in parts if p.code))
    trained_on = round(sum(p.trained_on for p in parts) / len(parts))
    return Answers(names, openings, sources, margins, sure, trained_on, sum(p.seconds for p in parts), code)


def accuracy(found: Answers) -> Interval:
    """Share of comparisons told right; the interval draws openings."""
    return clustered_bootstrap(found.right, found.openings, seed=SEED)


def by_source(found: Answers) -> dict[str, tuple[float, int]]:
    """Accuracy and number of comparisons of each source."""
    right, sources = found.right, np.array(found.sources)
    return {s: (float(right[sources == s].mean()), int((sources == s).sum())) for s in sorted({*sources})}


def difference(first: Answers, second: Answers) -> tuple[Interval, float]:
    """First's accuracy less second's on the same comparisons, and the p-value that they are alike.

    The interval draws openings, and the test swaps the two models on whole openings. Raises `ValueError` if they
    were tested on different comparisons.
    """
    if first.names != second.names:
        raise ValueError("a paired difference needs the same comparisons")
    gain = first.right - second.right
    interval = clustered_bootstrap(gain, first.openings, seed=SEED)
    _, place = np.unique(np.array(first.openings), return_inverse=True)
    sums = np.bincount(place, weights=gain)
    return interval, paired_permutation(sums, np.zeros_like(sums), seed=SEED)


@dataclass(frozen=True)
class Calibration:
    """Errors after scaling: with the noise of few comparisons taken off, plain, and what noise alone makes."""

    debiased: float
    plain: float
    noise: float


def calibration(found: Answers) -> Calibration:
    """How far the probabilities of all folds, each scaled without its own fold, are from how often they are right."""
    confidence, right = as_confidence(np.array(found.sure))
    bins = equal_mass_bins(confidence, right, BINS)
    return Calibration(
        debiased_calibration_error(bins),
        expected_calibration_error(bins),
        noise(probability_of_better(found)),
    )


def probability_of_better(found: Answers) -> NDArray[np.float64]:
    """What the model gives the better response after scaling, `(n,)`."""
    return expit(np.array(found.sure))
