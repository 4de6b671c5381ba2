"""Each ranking beside the truth as the other raters of its unit tell it, pair by pair of items.

A rater's own answers help to say what the truth is taken to be, and would agree with themselves. So they are taken
out first, and what is left is uncertain: how far, is said too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.stats._scipy import Array
from tutelage.stats.choices import Layout
from tutelage.stats.rater_likelihood import LENGTH, PLACE, by_item, evidence, scores_without
from tutelage.stats.raters import RaterModel


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Of each ranking and each of the P pairs of items, all `(R, P)`.

    `ahead`: 1 where the ranking puts the first of the two ahead, -1 behind, 0 for a tie or a pair not ranked.
    `ranked`: whether it ranks both. `apart`: by how much the first has the larger score by the others' word, with
    variance `doubt`. `pull`: what the rater's biases add to the first's utility over the second's.
    """

    ahead: Array
    ranked: NDArray[np.bool_]
    apart: Array
    doubt: Array
    pull: Array

    def expected(self, sensitivity: Array | float) -> Array:
        """Mean of `ahead` where there are no ties, for raters of this sensitivity (a number, or `(R, 1)`).

        tanh of half a normal, with its deviation taken into the tanh (MacKay 1992, "The evidence framework applied
        to classification networks", eq. 10, for the logistic function).
        """
        middle = sensitivity * self.apart + self.pull
        shrunk = middle / np.sqrt(1.0 + np.pi / 8.0 * sensitivity**2 * self.doubt)
        return np.where(self.ranked, np.tanh(shrunk / 2.0), 0.0)


def leave_out(layout: Layout, model: RaterModel) -> LeftOut:
    """Every ranking against what the others of its unit say."""
    pull, bend = evidence(layout, model.coefficients, model.scores)
    truth, spread = scores_without(layout, model.scores, model.spread, layout.unit, pull, bend)
    i, j = np.triu_indices(truth.shape[1], 1)
    theta = model.coefficients[layout.rater]
    biased = theta[:, PLACE, None] * by_item(layout, layout.earlier)
    biased = biased + theta[:, LENGTH, None] * layout.length[layout.unit]
    ahead = np.sign(layout.place[:, j] - layout.place[:, i])
    return LeftOut(
        np.nan_to_num(ahead),
        ~np.isnan(ahead),
        truth[:, i] - truth[:, j],
        spread[:, i, i] + spread[:, j, j] - 2.0 * spread[:, i, j],
        biased[:, i] - biased[:, j],
    )
