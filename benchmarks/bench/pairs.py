"""Two sides by turns, and what their paired times say: a ratio with its spread. No torch.

Each pair is one repetition of each side on the same work, one right after the other. The ratio is the
geometric mean of the pairs' ratios: it does not depend on which side is called the first, and work that takes
long does not weigh more than work that is quick. The spread is the smallest and the largest pair's ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Measures(Protocol):
    """Does a repetition, and says how many seconds it took."""

    def measure(self) -> float: ...


@dataclass(frozen=True)
class Comparison:
    """Values of both sides in the row's unit, by pair, and how many times better ours are."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    ratio: float
    low: float
    high: float


def interleave(
    ours: Measures, theirs: Measures, warm_up: int, pairs: int, said: Callable[[int, float, float], None]
) -> list[tuple[float, float]]:
    """Seconds of both sides by pair: ours, theirs, ours, theirs, ...; the warm-up is done and left out."""
    seconds: list[tuple[float, float]] = []
    for number in range(warm_up + pairs):
        pair = (ours.measure(), theirs.measure())
        said(number - warm_up, *pair)
        if number >= warm_up:
            seconds.append(pair)
    return seconds


def compare(
    seconds: Sequence[tuple[float, float]], units: Sequence[float], higher_is_better: bool
) -> Comparison:
    """What the times of pairs say, each of which did so many units of work.

    With `higher_is_better` values are units a second, else seconds a unit; a ratio above 1 favours ours.
    Raises `ValueError` if there is no pair, or if a time is not above zero.
    """
    if not seconds or len(seconds) != len(units):
        raise ValueError("a comparison needs at least one pair, and the units that each pair did")
    if min(min(pair) for pair in seconds) <= 0 or min(units) <= 0:
        raise ValueError("a repetition took no time, or did no work")
    ratios = [theirs / ours for ours, theirs in seconds]
    values = [
        tuple(
            (unit / pair[side] if higher_is_better else pair[side] / unit)
            for pair, unit in zip(seconds, units)
        )
        for side in (0, 1)
    ]
    return Comparison(values[0], values[1], geometric_mean(ratios), min(ratios), max(ratios))


def geometric_mean(values: Sequence[float]) -> float:
    """exp of the mean logarithm."""
    return math.exp(sum(map(math.log, values)) / len(values))
