"""What the fits of Bradley-Terry and Plackett-Luce share: their result, and whether there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array, components, expit


@dataclass(frozen=True, eq=False)
class Strengths:
    """Fitted scores of K items on the log-odds scale.

    `scores` `(K,)` have mean 0. `covariance` `(K, K)` is that of the centred scores, from the curvature
    of the log-likelihood (with a ridge: of the posterior) at its maximum. `log_likelihood` is in nats,
    without the prior.
    """

    scores: Array
    covariance: Array
    log_likelihood: float

    @property
    def standard_errors(self) -> Array:
        """`(K,)`: of each score about the mean of all."""
        return np.sqrt(np.diag(self.covariance))

    def standard_error_of_difference(self, first: int, second: int) -> float:
        """Of `scores[first] - scores[second]`; their errors are not independent."""
        c = self.covariance
        return float(np.sqrt(max(c[first, first] + c[second, second] - 2.0 * c[first, second], 0.0)))

    def probability(self, first: int, second: int) -> float:
        """That `first` is preferred to `second`."""
        return float(expit(self.scores[first] - self.scores[second]))


def require_connected(beats: NDArray[np.bool_]) -> None:
    """Raise `DataError` unless the likelihood has a maximum (Ford 1957; Hunter 2004, assumption 1).

    `beats[i, j]` `(K, K)` says that i was ever preferred to j, a tie counting for both. However the items
    are split in two, each part must once have beaten the other.
    """
    num_weak, labels, num_strong = components(beats)
    if num_weak > 1:
        apart = int(np.flatnonzero(labels != labels[0])[0])
        raise DataError(
            f"items 0 and {apart} are not connected by any chain of comparisons, so their scores cannot be "
            "compared: add comparisons between the two groups, or give a ridge"
        )
    if num_strong > 1:
        raise DataError(
            "some items never lost to any of the others, so their scores have no upper bound: "
            "add comparisons, or give a ridge"
        )


def centred_covariance(information: Array, ridge: float) -> Array:
    """Covariance of scores of mean 0, from the information matrix `(K, K)` whose rows sum to 0.

    Raises `DataError` if the data say so little about some score that the matrix is singular in floating
    point.
    """
    num_items = len(information)
    mean = np.full((num_items, num_items), 1.0 / num_items)
    precision = information + ridge * (np.eye(num_items) - mean)
    # `mean` fills the one direction, a shift of all scores, about which the data say nothing
    try:
        return np.asarray(np.linalg.inv(precision + mean), dtype=np.float64) - mean
    except np.linalg.LinAlgError:
        raise DataError(
            "some score is all but undetermined by the comparisons: add comparisons, or give a larger ridge"
        ) from None
