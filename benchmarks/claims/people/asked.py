"""A reward model that asks: comparisons of real people are answered one batch after another, chosen in some way.

The reward model is logistic regression on frozen features: words (`training_core/words.py`) of both responses, as
log(1 + count) and the log-length, taken to few dimensions by singular values of what may be asked, without anybody's
answer. Its ensemble is fitted to draws of the answered comparisons with replacement. Every comparison is tested once,
by a model that could ask about the other folds and saw nothing of its opening message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.claims.training_core.folds import fold_of
from benchmarks.claims.training_core.words import words
from tutelage.stats.information import expected_entropy, expected_information, spread_over_topics
from tutelage.stats.linear import fit_linear_bradley_terry

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How much is asked and how the model is made. `batch` comparisons a round, the first drawn at random."""

    folds: int = 3
    batch: int = 75
    rounds: int = 16
    members: int = 6
    width: int = 64
    prior: float = 20.0
    topics: int = 12
    limit: int | None = None


@dataclass(frozen=True)
class Pair:
    """A comparison: the better response, the worse, and how its conversation opens."""

    better: str
    worse: str
    opening: str


@dataclass(frozen=True)
class Pool:
    """What may be asked, `(n, width)` better less worse, and its topics; and what is tested."""

    asked: Matrix
    topics: tuple[str, ...]
    tested: Matrix


Values = Callable[[Matrix], Matrix]
WAYS: Mapping[str, tuple[Values | None, float]] = {
    "random": (None, 0.0),
    "information": (expected_information, 0.0),
    "entropy": (expected_entropy, 0.0),
    "diverse": (expected_information, 0.5),
}
"""Each way's value of a comparison from members' differences, and how strongly topics are spread."""


def curves(pairs: Sequence[Pair], size: Size, seed: int) -> dict[str, tuple[list[int], Matrix]]:
    """For each way: comparisons answered by round, and how right the model was then, `(rounds, len(pairs))`."""
    folds = np.array(fold_of([pair.opening for pair in pairs], size.folds, seed))
    sizes: dict[str, list[int]] = {}
    right = {way: np.zeros((size.rounds, len(pairs))) for way in WAYS}
    for fold in range(size.folds):
        pool = pool_of(pairs, folds == fold, size, seed)
        for way in WAYS:
            sizes[way], found = one_curve(pool, way, size, 1000 * seed + fold)
            right[way][:, folds == fold] = found
    return {way: (sizes[way], right[way]) for way in WAYS}


def one_curve(pool: Pool, way: str, size: Size, seed: int) -> tuple[list[int], Matrix]:
    """Ask batch after batch; sizes, and how right the model was on what is tested after each, `(rounds, t)`.

    All ways begin with the same batch. Where the pool is exhausted the last model stays.
    """
    values, strength = WAYS[way]
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(pool.asked)).tolist()
    known = order[: size.batch]
    sizes: list[int] = []
    right: list[Matrix] = []
    for _ in range(size.rounds):
        answered = pool.asked[known]
        weights = fitted(answered, np.ones(len(known)), size.prior)
        sizes.append(len(known))
        right.append(0.5 + 0.5 * np.sign(pool.tested @ weights))
        waiting = [i for i in order if i not in set(known)]
        if values is None or not waiting:
            known = known + waiting[: size.batch]
            continue
        members = [
            fitted(answered, generator.multinomial(len(known), [1 / len(known)] * len(known)), size.prior)
            for _ in range(size.members)
        ]
        worth = values(np.stack(members) @ pool.asked[waiting].T)
        topics = [pool.topics[i] for i in waiting]
        before = Counter(pool.topics[i] for i in known)
        known = known + [waiting[i] for i in spread_over_topics(worth, topics, size.batch, strength, before)]
    return sizes, np.stack(right)


def fitted(answered: Matrix, weights: Matrix, prior: float) -> Matrix:
    """Logistic regression whose prior weighs as much whatever the number of answers."""
    return fit_linear_bradley_terry(answered, weights, prior / float(np.sum(weights)))


def pool_of(pairs: Sequence[Pair], tested: NDArray[np.bool_], size: Size, seed: int) -> Pool:
    """Features and topics, made from the texts that may be asked about and from no answer."""
    from scipy.sparse import vstack
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    asked = [pair for pair, held_out in zip(pairs, tested, strict=True) if not held_out]
    later = [pair for pair, held_out in zip(pairs, tested, strict=True) if held_out]
    counted = CountVectorizer(analyzer=words, min_df=3).fit([t for p in asked for t in (p.better, p.worse)])

    def texts(of: Sequence[str]) -> Matrix:
        return counted.transform(of).log1p()

    def less(of: Sequence[Pair]) -> Matrix:
        return texts([p.better for p in of]) - texts([p.worse for p in of])

    few = TruncatedSVD(size.width - 1, random_state=seed)
    few.fit(vstack([texts([p.better for p in asked]), texts([p.worse for p in asked])]))
    openings = TfidfVectorizer(analyzer=words, min_df=2).fit_transform([p.opening for p in asked])
    near = TruncatedSVD(min(20, size.width), random_state=seed).fit_transform(openings)
    topics = KMeans(size.topics, n_init=3, random_state=seed).fit_predict(near)
    return Pool(
        np.column_stack([few.transform(less(asked)), lengths(asked)]),
        tuple(str(topic) for topic in topics),
        np.column_stack([few.transform(less(later)), lengths(later)]),
    )


def lengths(pairs: Sequence[Pair]) -> Matrix:
    """Log of the number of words, better less worse."""
    return np.array([np.log1p(len(words(p.better))) - np.log1p(len(words(p.worse))) for p in pairs])


def share_needed(sizes: Sequence[int], chosen: Matrix, drawn: Matrix, at: int) -> float:
    """Judgements at which `chosen` reaches what `drawn` reaches with `at` of them, over those `drawn` needs.

    Both are accuracies by size, made to rise by isotonic regression, and straight between sizes. Infinite where
    `chosen` never gets there.
    """
    from sklearn.isotonic import IsotonicRegression

    n = np.asarray(sizes, dtype=np.float64)
    rising = [IsotonicRegression().fit_transform(n, curve) for curve in (chosen, drawn)]
    goal = float(np.interp(at, n, rising[1]))
    return reached(n, rising[0], goal) / reached(n, rising[1], goal)


def reached(sizes: Matrix, curve: Matrix, goal: float) -> float:
    """The least size at which a rising curve is at `goal`."""
    above = np.flatnonzero(curve >= goal - 1e-12)
    if not len(above):
        return float("inf")
    first = int(above[0])
    if first == 0:
        return float(sizes[0])
    share = (goal - curve[first - 1]) / (curve[first] - curve[first - 1])
    return float(sizes[first - 1] + share * (sizes[first] - sizes[first - 1]))
