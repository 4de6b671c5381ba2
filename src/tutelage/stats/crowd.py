"""Raters and the truth together: the model of `raters.py`, with those who collude counted as one voice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tutelage.stats.choices import Layout
from tutelage.stats.collusion import SharedAnswers, colluding, shared_answers
from tutelage.stats.raters import RaterModel, first_look, fit_raters

MAX_ROUNDS = 5


@dataclass(frozen=True, eq=False)
class Crowd:
    """The layout with the weights that were used in the end, the fit, every pair of raters who met often enough,
    and the groups who agree beyond what the truth explains."""

    layout: Layout
    model: RaterModel
    pairs: list[SharedAnswers]
    groups: list[tuple[int, ...]]


def fit_crowd(layout: Layout, known: Mapping[int, float] | None = None, seed: int = 0) -> Crowd:
    """Look for colluders before anything trusts them, then fit and look again, until the groups stay the same.

    A ranking by one of g who collude counts 1 / g, so that together they are one rater. `known` as in `fit_raters`.
    Raises `DataError` if the fit does not settle.
    """
    known = dict(known or {})
    model, weighted = first_look(layout, known, seed), layout
    pairs = shared_answers(layout, model, tuple(known), seed=seed)
    groups = colluding(pairs, layout.num_raters)
    for _ in range(MAX_ROUNDS):
        share = np.ones(layout.num_raters)
        for group in groups:
            share[list(group)] = 1.0 / len(group)
        weighted = replace(layout, weight=layout.weight * share[layout.rater])
        model = fit_raters(weighted, known, model, seed)
        pairs, before = shared_answers(weighted, model, tuple(known), seed=seed), groups
        groups = colluding(pairs, layout.num_raters)
        if groups == before:
            break
    return Crowd(weighted, model, pairs, groups)
