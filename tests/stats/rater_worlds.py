"""Small worlds of raters for the tests: rankings drawn from the model itself, or by a habit that is none of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tutelage.stats.choices import Layout, RatedRanking, lay_out

Utility = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""From scores, lengths and places in the order shown to what each item is worth, noise included."""


def follows(sensitivity: float, place: float = 0.0, length: float = 0.0) -> Utility:
    """A rater as the model has him: sorting by utility plus Gumbel noise draws from Plackett-Luce."""

    def utility(
        score: np.ndarray, longer: np.ndarray, shown_at: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        bias = length * longer - place * shown_at
        return sensitivity * score + bias + generator.gumbel(size=len(score))

    return utility


@dataclass(frozen=True)
class World:
    rankings: list[RatedRanking]
    lengths: list[np.ndarray]
    scores: list[np.ndarray]
    layout: Layout


def draw(
    raters: list[Utility],
    units: int = 150,
    overlap: int = 4,
    size: int = 6,
    seed: int = 0,
    copies: Mapping[int, int] | None = None,
    slope: float = 0.0,
) -> World:
    """`overlap` raters of each unit, at random. `copies`: who gives another's answer, where there is one, or else the
    one that this other would have given."""
    generator = np.random.default_rng(seed)
    rankings: list[RatedRanking] = []
    lengths = [generator.normal(size=size) for _ in range(units)]
    scores = [slope * each + generator.normal(size=size) for each in lengths]
    for unit in range(units):
        answers: dict[int, np.ndarray] = {}
        for k in generator.choice(len(raters), size=overlap, replace=False).tolist():
            shown = generator.permutation(size)
            model = (copies or {}).get(k, k)
            if model not in answers or model == k:
                value = raters[model](scores[unit], lengths[unit], np.argsort(shown), generator)
                answers[model] = answers.get(model, np.argsort(-value))
            order = tuple((int(i),) for i in answers[model])
            rankings.append(RatedRanking(k, unit, order, tuple(shown.tolist())))
    return World(rankings, lengths, scores, lay_out(rankings, lengths, len(raters)))
