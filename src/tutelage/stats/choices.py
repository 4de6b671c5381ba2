"""Rankings as sequences of choices, laid out in arrays, so that thousands are worked on at once.

A ranking is read as choosing the best of all, then the best of the rest, and so on (Plackett 1975; Luce 1959).
Ties are treated as in Efron (1977), as everywhere in this package: the j-th member (j = 0 .. g - 1) of a tie
group of g is chosen from the remaining less j / g of its group. Items that a ranking leaves out say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tutelage.core.errors import DataError
from tutelage.stats._scipy import Array

Index = NDArray[np.intp]
_AT_ONCE = 512


@dataclass(frozen=True)
class RatedRanking:
    """How one rater ranked the items of one unit (a prompt), all by number.

    `groups` are tie groups of the unit's items, best first; `shown` is the order in which the rater saw them.
    """

    rater: int
    unit: int
    groups: tuple[tuple[int, ...], ...]
    shown: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """R rankings of at most M items of U units of at most K items, by N raters; short ones are filled up.

    `rater`, `unit`, `weight` `(R,)`. `item` `(R, M)`: the unit's item at each place, best first. `real` `(R, M)`:
    whether there is one. `share` `(R, M, M)`: by choice and item, the share with which it can be chosen.
    `earlier` `(R, M)`: minus the number of items shown before it. `length` `(U, K)`: each item's, as given.
    `place` `(R, K)`: the middle rank of each item of the unit (0 for the best), nan where it was not ranked.
    `size` `(U,)`: how many items each unit has.
    """

    rater: Index
    unit: Index
    weight: Array
    item: Index
    real: NDArray[np.bool_]
    share: Array
    earlier: Array
    length: Array
    place: Array
    size: Index
    num_raters: int

    @property
    def num_units(self) -> int:
        return len(self.length)

    def parts(self) -> Iterator[slice]:
        """Slices of the rankings that are small enough for the caches."""
        for start in range(0, len(self.rater), _AT_ONCE):
            yield slice(start, start + _AT_ONCE)


def lay_out(
    rankings: Sequence[RatedRanking],
    lengths: Sequence[ArrayLike],
    num_raters: int,
    weights: Sequence[float] | None = None,
) -> Layout:
    """Arrays of the rankings. `lengths` holds one number for each item of each unit; `weights` are 1 unless given.

    Raises `DataError` if there is no ranking, or one names a rater, unit or item that is not there, an item
    twice, or an item that was not shown.
    """
    if not rankings or (weights is not None and len(weights) != len(rankings)):
        raise DataError(f"a rater model needs rankings, with one weight for each: there are {len(rankings)}")
    sizes = [len(np.atleast_1d(np.asarray(each))) for each in lengths]
    for number, ranking in enumerate(rankings):
        _check(number, ranking, sizes, num_raters)
    count, widest = len(rankings), max(sizes)
    most = max(sum(map(len, ranking.groups)) for ranking in rankings)
    length, place = np.zeros((len(sizes), widest)), np.full((count, widest), np.nan)
    for unit, each in enumerate(lengths):
        length[unit, : sizes[unit]] = np.asarray(each, dtype=np.float64)
    item, real = np.zeros((count, most), dtype=np.intp), np.zeros((count, most), dtype=np.bool_)
    share, earlier = np.zeros((count, most, most)), np.zeros((count, most))
    for r, ranking in enumerate(rankings):
        order = [i for group in ranking.groups for i in group]
        seen = {i: number for number, i in enumerate(ranking.shown)}
        item[r, : len(order)], real[r, : len(order)] = order, True
        earlier[r, : len(order)] = [-seen[i] for i in order]
        begin = 0
        for group in ranking.groups:
            end = begin + len(group)
            place[r, list(group)] = (begin + end - 1) / 2
            for j in range(len(group)):
                share[r, begin + j, begin:end] = 1.0 - j / len(group)
                share[r, begin + j, end : len(order)] = 1.0
            begin = end
    return Layout(
        rater=np.array([ranking.rater for ranking in rankings], dtype=np.intp),
        unit=np.array([ranking.unit for ranking in rankings], dtype=np.intp),
        weight=np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64),
        item=item,
        real=real,
        share=share,
        earlier=earlier,
        length=length,
        place=place,
        size=np.array(sizes, dtype=np.intp),
        num_raters=num_raters,
    )


def choice_curvature(share: Array, real: NDArray[np.bool_], utility: Array) -> tuple[Array, Array, Array]:
    """Log-likelihood `(R,)` of rankings, its gradient `(R, M)` and minus its Hessian `(R, M, M)` in the utilities.

    `share`, `real` as in `Layout`; `utility` `(R, M)` of each item, best first.
    """
    top = np.where(real, utility, -np.inf).max(axis=1, keepdims=True)
    odds = np.where(real, np.exp(np.where(real, utility - top, 0.0)), 0.0)
    weighted = share * odds[:, None, :]
    total = weighted.sum(axis=2)
    safe = np.where(real, total, 1.0)
    chosen = weighted / safe[:, :, None]
    value = (np.where(real, utility - top, 0.0) - np.log(safe)).sum(axis=1)
    often = chosen.sum(axis=1)
    curvature = often[:, :, None] * np.eye(often.shape[1]) - chosen.transpose(0, 2, 1) @ chosen
    return value, real - often, curvature


def _check(number: int, ranking: RatedRanking, sizes: Sequence[int], num_raters: int) -> None:
    if not (0 <= ranking.rater < num_raters and 0 <= ranking.unit < len(sizes)):
        raise DataError(f"ranking {number} names a rater or a unit that is not there: correct its numbers")
    items = [i for group in ranking.groups for i in group]
    if len(set(items)) != len(items) or not set(items) <= set(ranking.shown) or not items:
        raise DataError(f"ranking {number} ranks an item twice, one that was not shown, or none: correct it")
    if any(not 0 <= i < sizes[ranking.unit] for i in ranking.shown):
        raise DataError(f"ranking {number} was shown an item that its unit has not: correct its numbers")
