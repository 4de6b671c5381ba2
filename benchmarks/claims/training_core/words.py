"""The bag of words: logistic regression on which words two responses have. What a reward model must beat.

A response is how often each word of the training comparisons is in it, as log(1 + count), and its number of
words; a comparison is the better one's less the worse one's, and the model has no intercept, so that which side
stands first plays no part. The prompt is not looked at: it is the same for both. How strongly weights are held
back is chosen by the likelihood of the comparisons that the temperature is fitted on, which flatters nobody else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.special import log_expit

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse of the squared norm's weight; smaller holds back more."""
TWICE = 2
"""A word counts if so many training responses have it."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")

Texts = tuple[str, str]
"""The better response and the worse."""


@dataclass(frozen=True)
class BagOfWords:
    """Words with their places, and a weight each, the last for length."""

    places: dict[str, int]
    weights: NDArray[np.float64]

    def margins(self, pairs: Sequence[Texts]) -> NDArray[np.float64]:
        """Score of the better response less the worse, `(n,)`, in log-odds."""
        return np.asarray(_differences(self.places, pairs) @ self.weights)


def words(text: str) -> list[str]:
    """Words and marks of a text, in lower case."""
    return _WORD.findall(text.lower())


def fitted(learn: Sequence[Texts], choose: Sequence[Texts]) -> BagOfWords:
    """The model of `learn` at the strength that makes `choose` likeliest at its best temperature."""
    from sklearn.linear_model import LogisticRegression

    from tutelage.stats.calibration import fit_temperature

    seen = Counter(word for pair in learn for text in pair for word in set(words(text)))
    places = {word: place for place, word in enumerate(sorted(w for w, n in seen.items() if n >= TWICE))}
    rows = _differences(places, learn)
    turned = np.concatenate([np.ones(len(learn)), np.zeros(len(learn))])
    best, found = -np.inf, BagOfWords(places, np.zeros(rows.shape[1]))
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, fit_intercept=False, max_iter=2000)
        model.fit(vstack([rows, -rows]), turned)
        one = BagOfWords(places, np.asarray(model.coef_[0], dtype=np.float64))
        margins = one.margins(choose)
        likelihood = float(log_expit(margins / fit_temperature(margins)).mean())
        if likelihood > best:
            best, found = likelihood, one
    return found


def _differences(places: dict[str, int], pairs: Sequence[Texts]) -> Any:
    return _features(places, [better for better, _ in pairs]) - _features(places, [w for _, w in pairs])


def _features(places: dict[str, int], texts: Sequence[str]) -> Any:
    """`(n, words + 1)`, sparse."""
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, text in enumerate(texts):
        found = words(text)
        counts = Counter(places[word] for word in found if word in places)
        counted = {**{place: np.log1p(n) for place, n in counts.items()}, len(places): np.log1p(len(found))}
        rows += [row] * len(counted)
        columns += counted.keys()
        values += counted.values()
    return csr_matrix((values, (rows, columns)), shape=(len(texts), len(places) + 1))
