"""One score from several: how the members of an ensemble of reward models are put together.

A policy that maximises one learned score finds where that score is wrong. Where independent members
disagree it probably is, so the careful rules give less there (Coste et al. 2023, "Reward model ensembles help
mitigate overoptimization"; Eisenstein et al. 2023 on what that does not mend: errors that all
members share).

Scores are `(members, N)`, and must be on one scale: a Bradley-Terry score has no zero of its own, so bring
each member to mean 0 and deviation 1 on the same responses first. All results are `(N,)`, with gradient, and
with one member each rule gives back its scores.
"""

from __future__ import annotations

from torch import Tensor

from tutelage.objectives.masked import at_least_float32


def mean_score(scores: Tensor) -> Tensor:
    """The members' mean: less noise than one of them, no caution."""
    return at_least_float32(scores).mean(0)


def worst_case_score(scores: Tensor) -> Tensor:
    """The least of the members' scores (Coste et al. 2023: worst-case optimisation)."""
    return at_least_float32(scores).amin(0)


def variance_penalised_score(scores: Tensor, penalty: float) -> Tensor:
    """mean - penalty * variance over members (Coste et al. 2023: uncertainty-weighted optimisation).

    The variance is divided by the number of members, as theirs is; it is 0 for one member.
    """
    scores = at_least_float32(scores)
    return scores.mean(0) - penalty * scores.var(0, unbiased=False)


def quantile_score(scores: Tensor, quantile: float) -> Tensor:
    """The `quantile` in [0, 1] of the members' scores, between two of them by linear interpolation.

    0 is the worst case, 0.5 the median, which one broken member cannot move far.
    """
    return at_least_float32(scores).quantile(quantile, 0)
