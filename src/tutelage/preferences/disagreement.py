"""Where raters disagree, told rather than averaged away: by prompt, and between the groups that they belong to.

Disagreement is not error. Careless raters disagree with everybody, so leave those out that are flagged; what is
left are prompts that are hard, guidelines that leave a case open, and people who want different things. Groups
are whatever attributes the owner gave the raters, such as a language or a profession.

Left out on purpose: saying which group is right.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tutelage.core.records import Judgement, RaterKind
from tutelage.preferences.rated import Rated, rated
from tutelage.preferences.resolve import PEOPLE
from tutelage.stats.clustered import clustered_shares
from tutelage.stats.intervals import Interval
from tutelage.stats.meetings import Meetings, agreement, find_meetings

NUM_PERMUTATIONS = 2000


@dataclass(frozen=True)
class PromptDisagreement:
    """One prompt: its raters, and the share of pairs of responses that two of them order alike, over all twos.

    `split`: the two responses that they differ most about, and the share who prefer the first (a tie counts half).
    """

    prompt_id: str
    raters: int
    agreement: float
    split: tuple[str, str, float]


@dataclass(frozen=True)
class GroupDisagreement:
    """One attribute: agreement of two raters with the same value, with different values, and for each two values.

    `p_value`: that the raters could as well have had each other's values (two-sided permutation test of the
    difference; None where only one kind of meeting took place). `between` holds every two values, one and the same
    included, that met.
    """

    attribute: str
    same: Interval
    different: Interval
    p_value: float | None
    between: Mapping[tuple[str, str], Interval]


@dataclass(frozen=True)
class Divided:
    """Two responses to a prompt that groups see differently: by value the share who prefer `first`, and how many."""

    prompt_id: str
    first: str
    second: str
    shares: Mapping[str, tuple[float, int]]

    @property
    def gap(self) -> float:
        """Between the group most for `first` and the one least for it."""
        shares = [share for share, _ in self.shares.values()]
        return max(shares) - min(shares)


def by_prompt(
    judgements: Iterable[Judgement],
    *,
    without: Collection[str] = (),
    kinds: Collection[RaterKind] = PEOPLE,
) -> list[PromptDisagreement]:
    """Prompts that two raters or more have ranked, least agreement first; `without` names raters left out.

    A prompt whose raters saw different responses is there once for each set. Raises `DataError` if no judgement
    ranks two responses.
    """
    what = rated((j for j in judgements if j.rater not in without), kinds=kinds)
    meetings = find_meetings(what.layout)
    alike, count = _alike(what, meetings)
    unit, num_units = what.layout.unit[meetings.first], what.layout.num_units
    pairs, agreed = np.bincount(unit, count, num_units), np.bincount(unit, alike * count, num_units)
    order = np.argsort(what.layout.unit, kind="stable")
    bounds = np.searchsorted(what.layout.unit[order], np.arange(num_units + 1))
    found: list[PromptDisagreement] = []
    for number in np.flatnonzero(pairs).tolist():
        prompt, names = what.units[number]
        rankings = what.layout.place[order[bounds[number] : bounds[number + 1]]]
        share = float(agreed[number] / pairs[number])
        found.append(PromptDisagreement(prompt, len(rankings), share, _most_split(rankings, names)))
    return sorted(found, key=lambda one: (one.agreement, one.prompt_id))


def by_group(
    judgements: Iterable[Judgement],
    groups: Mapping[str, Mapping[str, str]],
    *,
    without: Collection[str] = (),
    kinds: Collection[RaterKind] = PEOPLE,
    seed: int = 0,
) -> list[GroupDisagreement]:
    """For each attribute in `groups` (by rater): do raters with the same value agree more than those without?

    Raters to whom an attribute was not given are left out of it. Raises `DataError` as `by_prompt`.
    """
    what = rated((j for j in judgements if j.rater not in without), kinds=kinds)
    meetings = find_meetings(what.layout)
    attributes = sorted({name for given in groups.values() for name in given})
    values = {a: [groups.get(rater, {}).get(a) for rater in what.raters] for a in attributes}
    return [_of_attribute(a, values[a], what, meetings, seed) for a in attributes]


def divided(
    judgements: Iterable[Judgement],
    groups: Mapping[str, Mapping[str, str]],
    attribute: str,
    *,
    least: int = 2,
    without: Collection[str] = (),
    kinds: Collection[RaterKind] = PEOPLE,
) -> list[Divided]:
    """Pairs of responses on which groups lean to different sides, the widest gap first.

    A group has a say on a pair if `least` of its raters ordered it. With few raters a gap is often chance: it says
    where to look, and `by_group` says whether there is something to see.
    """
    what = rated((j for j in judgements if j.rater not in without), kinds=kinds)
    votes: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for judgement in what.judgements:
        value = groups.get(judgement.rater, {}).get(attribute)
        if value is None:
            continue
        place = {name: n for n, tied in enumerate(judgement.ranking) for name in tied}
        for first, second in combinations(sorted(place), 2):
            ahead = (
                math.copysign(0.5, place[second] - place[first]) if place[first] != place[second] else 0.0
            ) + 0.5
            pair = votes.setdefault((judgement.prompt_id, first, second), {})
            pair.setdefault(value, []).append(ahead)
    found: list[Divided] = []
    for (prompt, first, second), said in sorted(votes.items()):
        shares = {v: (sum(s) / len(s), len(s)) for v, s in sorted(said.items()) if len(s) >= least}
        leaning = [share - 0.5 for share, _ in shares.values()]
        if leaning and min(leaning) < 0.0 < max(leaning):
            found.append(Divided(prompt, first, second, shares))
    return sorted(found, key=lambda one: (-one.gap, one.prompt_id, one.first, one.second))


def _of_attribute(
    attribute: str, values: list[str | None], what: Rated, meetings: Meetings, seed: int
) -> GroupDisagreement:
    names = sorted({v for v in values if v is not None})
    number = np.array([-1 if v is None else names.index(v) for v in values], dtype=np.intp)
    rater = what.layout.rater
    ends = np.stack([rater[meetings.first], rater[meetings.second]])
    kept = (number[ends] >= 0).all(axis=0)
    alike, count = _alike(what, meetings)
    alike, count, ends = alike[kept], count[kept], ends[:, kept]
    units = what.layout.unit[meetings.first][kept].tolist()
    low, high = np.sort(number[ends], axis=0)
    apart = (low != high).astype(np.intp)
    same, different = clustered_shares(alike, count, units, apart.tolist(), 2)
    cells = clustered_shares(alike, count, units, (low * len(names) + high).tolist(), len(names) ** 2)
    between = {
        (names[i], names[j]): cells[i * len(names) + j]
        for i in range(len(names))
        for j in range(i, len(names))
        if cells[i * len(names) + j].n
    }
    p_value = _permuted(alike, count, ends, number, seed) if same.n and different.n else None
    return GroupDisagreement(attribute, same, different, p_value, between)


def _permuted(alike: np.ndarray, count: np.ndarray, ends: np.ndarray, number: np.ndarray, seed: int) -> float:
    """p-value of the difference between same and different, over random exchanges of the raters' values.

    The observed one counts among them (Phipson and Smyth 2010), so it is never 0.
    """
    generator = np.random.default_rng(seed)
    given = np.flatnonzero(number >= 0)

    def difference(labels: np.ndarray) -> float:
        same = labels[ends[0]] == labels[ends[1]]
        sums = [float((alike * count)[which].sum() / max(count[which].sum(), 1)) for which in (same, ~same)]
        return abs(sums[0] - sums[1]) if 0 < same.sum() < len(same) else 0.0

    observed = difference(number) - 1e-12
    as_far = 0
    for _ in range(NUM_PERMUTATIONS):
        shuffled = number.copy()
        shuffled[given] = generator.permutation(number[given])
        as_far += difference(shuffled) >= observed
    return (as_far + 1) / (NUM_PERMUTATIONS + 1)


def _alike(what: Rated, meetings: Meetings) -> tuple[np.ndarray, np.ndarray]:
    return agreement(what.layout.place[meetings.first], what.layout.place[meetings.second])


def _most_split(rankings: np.ndarray, names: tuple[str, ...]) -> tuple[str, str, float]:
    """The two responses that most raters ordered and fewest agree about, and who prefer the first."""
    best = (2.0, 0, names[0], names[0], 0.5)
    for i, j in combinations(range(len(names)), 2):
        ahead = np.sign(rankings[:, j] - rankings[:, i])
        ahead = ahead[~np.isnan(ahead)]
        if len(ahead) > 1:
            share = float((ahead > 0).mean() + (ahead == 0).mean() / 2)
            best = min(best, (abs(share - 0.5), -len(ahead), names[i], names[j], share))
    return best[2], best[3], best[4]
