"""Raters who agree more than the truth explains, because they copy, compare notes, or are one person.

Two raters of one unit agree because both see which answer is better, and perhaps both like long ones. What
is left after that should be chance. For each pair of raters who share units, their agreement is compared with
that of answers drawn from the fitted model (`raters.py`), with the truth as all others on the unit tell it: the
pair's own answers are taken out first, or their own agreement would explain itself.

What it cannot tell apart: copying, and a taste that two raters share and others do not. What it cannot see:
raters who hold the majority on every unit that they share, because then they are what the truth is taken to be.
Gold answers help against both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.stats._scipy import Array, components, normal_tail
from tutelage.stats.choices import Index, Layout
from tutelage.stats.intervals import Interval, quantile
from tutelage.stats.meetings import Meetings, agreement, find_meetings
from tutelage.stats.rater_likelihood import by_item, evidence, scores_without
from tutelage.stats.raters import RaterModel
from tutelage.stats.tests import benjamini_hochberg

MIN_UNITS = 3
TOLERATED = 0.1
"""A share of copied answers up to this is let pass: with very many units a slight likeness is no finding."""
LEVEL = 0.01
_DRAWS = 32
_AT_ONCE = 256


@dataclass(frozen=True)
class SharedAnswers:
    """Two raters on the `units` that both have ranked.

    `agreement` and `expected`: mean share of pairs of items on which they agree, found and by the model. `copied`:
    (agreement - expected) / (1 - expected), the share of answers that, had they been copied, would explain the
    excess. `p_value`: that it is no more than what was tolerated, one-sided, for this pair alone.
    """

    first: int
    second: int
    units: int
    agreement: float
    expected: float
    copied: Interval
    p_value: float


def shared_answers(
    layout: Layout,
    model: RaterModel,
    known: Collection[int] = (),
    tolerated: float = TOLERATED,
    seed: int = 0,
) -> list[SharedAnswers]:
    """Every pair of raters who share at least `MIN_UNITS` units, least p-value first.

    Units that one of the `known` raters (gold answers) has ranked are left out: there the truth is given, and
    those who know it agree. `tolerated` is the copied share that is let pass.
    """
    meetings = find_meetings(layout, known)
    if not len(meetings.first):
        return []
    found, expected, variance = _agreements(layout, model, meetings, np.random.default_rng(seed))
    agreed, explained = meetings.total(found), meetings.total(expected)
    room = np.maximum(meetings.total(1.0 - expected), 1e-9)
    copied, error = (agreed - explained) / room, np.sqrt(meetings.total(variance)) / room
    half = quantile(0.95) * error
    pairs: list[SharedAnswers] = []
    for i in np.flatnonzero(meetings.count >= MIN_UNITS).tolist():
        first, second = meetings.raters[i].tolist()
        units, share = int(meetings.count[i]), float(copied[i])
        reach = Interval(share, share - float(half[i]), share + float(half[i]), units)
        p_value = normal_tail((share - tolerated) / float(error[i]))
        means = float(agreed[i]) / units, float(explained[i]) / units
        pairs.append(SharedAnswers(first, second, units, *means, reach, p_value))
    return sorted(pairs, key=lambda pair: pair.p_value)


def colluding(found: Sequence[SharedAnswers], num_raters: int, level: float = LEVEL) -> list[tuple[int, ...]]:
    """Groups of raters tied together by pairs whose p-values hold among all pairs (`level` of them false), in order."""
    links = np.zeros((num_raters, num_raters), dtype=np.bool_)
    for pair, adjusted in zip(found, benjamini_hochberg([pair.p_value for pair in found])):
        links[pair.first, pair.second] = adjusted < level
    count, label, _ = components(links)
    groups = (tuple(np.flatnonzero(label == group).tolist()) for group in range(count))
    return sorted(group for group in groups if len(group) > 1)


def _agreements(
    layout: Layout, model: RaterModel, meetings: Meetings, generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """At each meeting `(I,)`: the agreement, and its mean and variance over answers drawn from the model."""
    pull, bend = evidence(layout, model.coefficients, model.scores)
    earlier = by_item(layout, layout.earlier)
    parts: list[Array] = []
    for start in range(0, len(meetings.first), _AT_ONCE):
        a, b = (numbers[start : start + _AT_ONCE] for numbers in (meetings.first, meetings.second))
        mean, spread = scores_without(
            layout, model.scores, model.spread, layout.unit[a], pull[a] + pull[b], bend[a] + bend[b]
        )
        noise = generator.standard_normal((len(a), mean.shape[1], _DRAWS))
        truth = mean[:, None, :] + (np.linalg.cholesky(spread) @ noise).transpose(0, 2, 1)
        drawn = [_drawn(layout, model, r, earlier[r], truth, generator) for r in (a, b)]
        agreed, _ = agreement(*drawn)
        found, _ = agreement(layout.place[a], layout.place[b])
        # a variance from few draws, and the mean's own error
        parts.append(np.stack([found, agreed.mean(1), agreed.var(1, ddof=1) * (1.0 + 1.0 / _DRAWS)]))
    found, expected, variance = np.concatenate(parts, axis=1)
    return found, expected, variance


def _drawn(
    layout: Layout,
    model: RaterModel,
    rankings: Index,
    earlier: Array,
    truth: Array,
    generator: np.random.Generator,
) -> Array:
    """Places `(I, S, K)` that the raters of these rankings would give, with as many ties as they did give."""
    sensitivity, place, length = (model.coefficients[layout.rater[rankings]].T)[:, :, None]
    fixed = place * earlier + length * layout.length[layout.unit[rankings]]
    utility = sensitivity[:, :, None] * truth + fixed[:, None, :] + generator.gumbel(size=truth.shape)
    given = layout.place[rankings]
    utility = np.where(np.isnan(given)[:, None, :], -np.inf, utility)
    rank = np.argsort(np.argsort(-utility, axis=2), axis=2)
    return np.take_along_axis(np.broadcast_to(np.sort(given, axis=1)[:, None, :], rank.shape), rank, axis=2)
