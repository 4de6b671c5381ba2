"""How far several judges of the same pairs differ: what an ensemble's spread is worth.

Margins are `(members, n)`: by how much each member prefers one side of each pair. Members that always agree
are one member, however many there are.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from tutelage.stats._scipy import Array


def mean_correlation(margins: ArrayLike) -> float:
    """Pearson's r of two members' margins, averaged over all pairs of members; nan with one member.

    A member whose margins are all the same counts as uncorrelated with the others.
    """
    m: Array = np.asarray(margins, dtype=np.float64)
    centred = m - m.mean(1, keepdims=True)
    norms = np.sqrt((centred**2).sum(1))
    scaled = centred / np.where(norms > 0, norms, 1.0)[:, None]
    found = [float(scaled[a] @ scaled[b]) for a, b in combinations(range(len(m)), 2)]
    return float(np.mean(found)) if found else float("nan")


def disagreement(margins: ArrayLike) -> float:
    """Share of comparisons on which two members prefer different sides, averaged over all pairs of members.

    No preference differs by a half from a preference. nan with one member (Kuncheva and Whitaker 2003, eq. 8).
    """
    signs = np.sign(np.asarray(margins, dtype=np.float64))
    found = [float(np.abs(signs[a] - signs[b]).mean()) / 2 for a, b in combinations(range(len(signs)), 2)]
    return float(np.mean(found)) if found else float("nan")
