"""How far raters, or a judge and people, say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array


@dataclass(frozen=True)
class PairAgreement:
    """Counts over pairs that two rankings both order. They add up over prompts: `a + b`.

    `same` and `opposite`: both prefer one side. `one_ties`: only one of the two sees a tie. `both_tie`.
    """

    same: int = 0
    opposite: int = 0
    one_ties: int = 0
    both_tie: int = 0

    def __add__(self, other: PairAgreement) -> PairAgreement:
        return PairAgreement(
            self.same + other.same,
            self.opposite + other.opposite,
            self.one_ties + other.one_ties,
            self.both_tie + other.both_tie,
        )

    @property
    def num_pairs(self) -> int:
        return self.same + self.opposite + self.one_ties + self.both_tie

    @property
    def rate(self) -> float:
        """Share of pairs agreed on; a tie against a preference counts half. `nan` without pairs."""
        agreed = self.same + self.both_tie + 0.5 * self.one_ties
        return agreed / self.num_pairs if self.num_pairs else float("nan")

    @property
    def decided_rate(self) -> float:
        """Share of same among the pairs on which both have a preference. `nan` without such pairs."""
        decided = self.same + self.opposite
        return self.same / decided if decided else float("nan")


def pairwise_agreement(
    first: Sequence[Sequence[Hashable]], second: Sequence[Sequence[Hashable]]
) -> PairAgreement:
    """Compare two rankings (tie groups, best first) over all pairs of items that both have ranked."""
    one = {item: place for place, group in enumerate(first) for item in group}
    other = {item: place for place, group in enumerate(second) for item in group}
    counts: Counter[str] = Counter()
    for a, b in combinations([item for item in one if item in other], 2):
        x, y = one[b] - one[a], other[b] - other[a]
        if x == 0 or y == 0:
            counts["both_tie" if x == y else "one_ties"] += 1
        else:
            counts["same" if (x > 0) == (y > 0) else "opposite"] += 1
    return PairAgreement(**counts)


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Agreement of two raters' labels beyond chance (Cohen 1960): 1 is perfect, 0 chance.

    `nan` where both give everything one and the same label. Raises `DataError` without pairs of labels.
    """
    if len(first) != len(second) or not first:
        raise DataError(f"kappa needs pairs of labels, not {len(first)} against {len(second)}")
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    left, right = Counter(first), Counter(second)
    expected = sum(left[label] * right[label] for label in left) / n**2
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def krippendorff_nominal(ratings: ArrayLike) -> float:
    """Krippendorff's alpha for labels without an order (2011, "Computing Krippendorff's alpha-reliability").

    `ratings` `(raters, units)` of numbers, `nan` where a rater said nothing; units with one rating are
    left out. 1 is perfect, 0 chance. `nan` where everything has one label. Raises `DataError` if no unit
    has two ratings.
    """
    return _alpha(ratings, lambda counts: 1.0 - np.eye(len(counts)))


def krippendorff_ordinal(ratings: ArrayLike) -> float:
    """Krippendorff's alpha for ranks such as 1 .. 5, where the distance of two is how many ratings lie
    between them. Otherwise as `krippendorff_nominal`."""

    def metric(counts: Array) -> Array:
        # (sum of the counts from c to k, less half of both ends)^2
        middle = np.cumsum(counts) - counts / 2
        return (middle[:, None] - middle[None, :]) ** 2

    return _alpha(ratings, metric)


def _alpha(ratings: ArrayLike, metric: Callable[[Array], Array]) -> float:
    table = np.asarray(ratings, dtype=np.float64)
    labels = np.unique(table[~np.isnan(table)])
    # (units, labels): how many raters gave the unit that label
    counts = np.array([(table == label).sum(axis=0) for label in labels], dtype=np.float64).T
    counts = counts[counts.sum(axis=1) >= 2] if len(labels) else np.zeros((0, 0))
    if not len(counts):
        raise DataError("alpha needs at least one unit that two raters have rated")
    # each unit's ordered pairs of ratings, a rating never with itself, over one less than its ratings
    shares = counts / (counts.sum(axis=1) - 1.0)[:, None]
    coincidence = shares.T @ counts - np.diag(shares.sum(axis=0))
    totals = coincidence.sum(axis=1)
    distance = metric(totals)
    expected = float((np.outer(totals, totals) * distance).sum()) / (float(totals.sum()) - 1.0)
    observed = float((coincidence * distance).sum())
    return 1.0 - observed / expected if expected > 0 else float("nan")
