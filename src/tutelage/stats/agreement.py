"""How far two raters, or a judge and people, say the same. For many at once: `krippendorff.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

from tutelage.core.errors import DataError


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
