"""What an answer is expected to tell: information of a comparison that several models score differently.

Differences are `(M, n)`: by how much each of M ensemble members prefers one side of each of n pairs, in log-odds, so
that sigmoid(difference) is a member's probability. All results are in nats, between 0 and log 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, expit, log_expit, xlogy


def expected_information(differences: ArrayLike) -> Array:
    """Mutual information between the answer and which member is right, `(n,)`.

    H(mean of p) - mean of H(p) over members: high where members are sure of different answers, 0 where they agree,
    be they sure or not (BALD; Houlsby et al. 2011, eq. 2). With one member it is 0. Raises `DataError` as below.
    """
    d = _checked(differences)
    # -p log p - (1 - p) log(1 - p) of each member, exact where p is close to 0 or 1
    each = -(expit(d) * log_expit(d) + expit(-d) * log_expit(-d))
    return np.maximum(expected_entropy(d) - each.mean(0), 0.0)


def expected_entropy(differences: ArrayLike) -> Array:
    """Entropy of the answer under the members' mean probability, `(n,)`: how close the call is, whoever is right.

    It does not tell a question that is hard from one that is not known yet. Raises `DataError` unless `(M, n)` finite
    numbers with M of 1 or more are given.
    """
    d = _checked(differences)
    ahead, behind = expit(d).mean(0), expit(-d).mean(0)
    return -(xlogy(ahead, ahead) + xlogy(behind, behind))


def ranking_information(scores: ArrayLike) -> float:
    """What a ranking of K responses is expected to tell, from members' scores `(M, K)`: the mean over its pairs.

    A mean, since a ranking of more responses takes a rater more time. With one member, who disagrees with nobody, it
    is the mean expected entropy: closeness of the scores. Raises `DataError` for fewer than two responses.
    """
    s = _checked(scores)
    if s.shape[1] < 2:
        raise DataError(f"a ranking needs two responses or more, not {s.shape[1]}")
    first, second = (list(side) for side in zip(*combinations(range(s.shape[1]), 2), strict=True))
    differences = s[:, first] - s[:, second]
    measure = expected_information if len(s) > 1 else expected_entropy
    return float(measure(differences).mean())


def spread_over_topics(
    values: ArrayLike, topics: Sequence[str], count: int, strength: float, asked: dict[str, int] | None = None
) -> list[int]:
    """Places of `count` items, taken one by one where value x (1 + asked in its topic) ^ -strength is greatest.

    `values` `(n,)` of 0 or more; `asked` is what was asked of each topic before. Where all values are alike, topics
    end up with equal numbers; in general topic t gets a number in proportion to value_t ^ (1 / strength), as long as
    it lasts. With strength 0 it is the greatest values. Ties go to the item that stands first.
    """
    value = np.asarray(values, dtype=np.float64)
    if value.shape != (len(topics),) or strength < 0:
        raise DataError(f"{len(topics)} topics for {value.size} values at strength {strength} cannot be used")
    had = dict(asked or {})
    waiting: dict[str, list[int]] = {}
    order: list[int] = np.argsort(-value, kind="stable").tolist()
    for place in order:
        waiting.setdefault(topics[place], []).append(place)
    taken: list[int] = []
    while waiting and len(taken) < count:
        # a topic's best is at the head of its list, so only heads need to be looked at
        best = max(
            waiting,
            key=lambda t: (value[waiting[t][0]] * topic_discount(had.get(t, 0), strength), -waiting[t][0]),
        )
        taken.append(waiting[best].pop(0))
        had[best] = had.get(best, 0) + 1
        if not waiting[best]:
            del waiting[best]
    return taken


def topic_discount(asked: int, strength: float) -> float:
    """What an item's value is multiplied with when `asked` of its topic were taken: (1 + asked) ^ -strength."""
    return float((1.0 + asked) ** -strength)


def _checked(values: ArrayLike) -> Array:
    given: Array = np.asarray(values, dtype=np.float64)
    if given.ndim != 2 or len(given) == 0 or not np.isfinite(given).all():
        raise DataError(f"scores must be finite numbers, a row for each member, not of shape {given.shape}")
    return given
