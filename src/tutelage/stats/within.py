"""What goes with what inside groups: a slope that differences between the groups have no part in.

Made for length bias: how much a reward model's score rises with a response's length, among the responses to
one prompt. Some prompts want long answers, and that is no bias.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tutelage.core.errors import DataError


def within_slope(values: ArrayLike, covariate: ArrayLike, groups: Sequence[Hashable]) -> float:
    """Least-squares slope of `values` on `covariate`, both `(n,)`, each less the mean of its group.

    The fixed-effects estimator: the slope b of value = a_group + b covariate, which is what a line of the
    same slope and a height of its own a group fits best. 0 where the covariate does not vary within any
    group. Raises `DataError` if the lengths differ.
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(covariate, dtype=np.float64)
    if not len(y) == len(x) == len(groups):
        raise DataError(
            f"a slope needs as many values as covariates and groups: {len(y)}, {len(x)}, {len(groups)}"
        )
    names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    place = np.array([names[name] for name in groups], dtype=np.intp)
    counts = np.maximum(np.bincount(place), 1)
    y, x = (v - (np.bincount(place, weights=v) / counts)[place] for v in (y, x))
    spread = float((x * x).sum())
    return float((x * y).sum()) / spread if spread > 0.0 else 0.0
