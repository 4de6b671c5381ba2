"""Judgements of several raters to what a reward model learns: rankings of K responses, and comparisons.

A comparison's `preference` is the weighted share of raters who put `chosen` first (a tie is half a vote
for each side), and its `weight` is the sum of the weights of those who ranked the pair. Together they are
all that the Bradley-Terry likelihood of the votes depends on: weight x cross-entropy(preference) is that
likelihood, so nothing is lost by resolving, and a pair that three raters judged weighs three times one
that a single rater did. With `prior` pseudo-votes on each side, the share becomes the posterior mean under
Beta(prior, prior), for those who would not take a lone rater's word as certain.

Left out on purpose: normalising by prompt (the loss does it), and estimating how reliable raters are
(their weights come in from outside).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Judgement, Ranking, RaterKind

PEOPLE: tuple[RaterKind, ...] = ("person",)
EVERYONE: tuple[RaterKind, ...] = ("person", "ai", "debate")
_Weigh = Callable[[str], float]


def resolve_rankings(
    judgements: Iterable[Judgement],
    *,
    rater_weights: Mapping[str, float] | None = None,
    kinds: Collection[RaterKind] = PEOPLE,
) -> list[Ranking]:
    """One ranking for each way in which the raters ordered a prompt's responses, sorted by prompt.

    Raters who gave the same tie groups share one ranking, whose weight is the sum of theirs; raters who
    differ leave several. A judgement that ranks a single response says nothing and is left out.
    Only raters of the given `kinds` count; a rater without a weight has 1, and 0 leaves a rater out.
    Raises `DataError` for a weight that is no weight, a prompt in two splits, or if no rater is left.
    """
    weigh = _weights(rater_weights)
    same: dict[tuple[str, tuple[tuple[str, ...], ...]], list[Judgement]] = {}
    splits: dict[str, str] = {}
    for judgement in _counted(judgements, weigh, kinds):
        _note_split(splits, judgement)
        groups = tuple(tuple(sorted(group)) for group in judgement.ranking)
        if sum(map(len, groups)) > 1:
            same.setdefault((judgement.prompt_id, groups), []).append(judgement)
    return [
        Ranking(
            prompt_id,
            groups,
            judgement_ids=tuple(j.id for j in said),
            weight=math.fsum(weigh(j.rater) for j in said),
            split=splits[prompt_id],
        )
        for (prompt_id, groups), said in sorted(same.items(), key=lambda item: item[0])
    ]


def resolve_comparisons(
    judgements: Iterable[Judgement],
    *,
    rater_weights: Mapping[str, float] | None = None,
    kinds: Collection[RaterKind] = PEOPLE,
    ties: Literal["half", "leave_out"] = "half",
    prior: float = 0.0,
) -> list[Comparison]:
    """One comparison for each pair of responses that some rater ranked, sorted by prompt and responses.

    `chosen` is the one with the larger share, so `preference` is at least 0.5. Where both shares are
    equal `chosen` is the lower id with preference 0.5; `ties="leave_out"` leaves such pairs out.
    `prior` is the number of pseudo-votes on each side. Raters and errors as in `resolve_rankings`.
    """
    if not (math.isfinite(prior) and prior >= 0):
        raise DataError(f"the prior of a preference is {prior}: give 0 or more pseudo-votes")
    weigh = _weights(rater_weights)
    votes: dict[tuple[str, str, str], _Votes] = {}
    splits: dict[str, str] = {}
    for judgement in _counted(judgements, weigh, kinds):
        _note_split(splits, judgement)
        for pair in _pairs(judgement):
            lower, upper = min(pair.better, pair.worse), max(pair.better, pair.worse)
            counted = votes.setdefault((judgement.prompt_id, lower, upper), _Votes())
            counted.add(judgement, weigh(judgement.rater), 0.5 if pair.tied else float(pair.better == lower))
    resolved = (_resolved(*key, counted, splits[key[0]], prior) for key, counted in votes.items())
    kept = [c for c in resolved if ties == "half" or c.preference != 0.5]
    return sorted(kept, key=lambda c: (c.prompt_id, c.chosen, c.rejected))


class _Pair(NamedTuple):
    better: str
    worse: str
    tied: bool


@dataclass
class _Votes:
    """Votes on one pair, by share given to the response with the lower id."""

    for_lower: list[float] = field(default_factory=list[float])
    for_upper: list[float] = field(default_factory=list[float])
    judgement_ids: list[str] = field(default_factory=list[str])

    def add(self, judgement: Judgement, weight: float, share: float) -> None:
        self.for_lower.append(weight * share)
        self.for_upper.append(weight * (1.0 - share))
        self.judgement_ids.append(judgement.id)


def _resolved(prompt_id: str, lower: str, upper: str, votes: _Votes, split: str, prior: float) -> Comparison:
    """`fsum` rounds once, so the order of votes does not matter; 0.1 + 0.2 against 0.3 is still a tie."""
    low, up = math.fsum(votes.for_lower), math.fsum(votes.for_upper)
    tied = math.isclose(low, up, rel_tol=1e-12)
    chosen, rejected = (lower, upper) if tied or low > up else (upper, lower)
    preference = 0.5 if tied else (max(low, up) + prior) / (low + up + 2.0 * prior)
    return Comparison(
        prompt_id,
        chosen,
        rejected,
        judgement_ids=tuple(votes.judgement_ids),
        preference=preference,
        weight=low + up,
        split=split,
    )


def _pairs(judgement: Judgement) -> Iterator[_Pair]:
    """Every pair that a ranking implies; responses that the rater left unranked are in none."""
    for n, group in enumerate(judgement.ranking):
        for m, one in enumerate(group):
            for other in group[m + 1 :]:
                yield _Pair(one, other, tied=True)
            for later in judgement.ranking[n + 1 :]:
                for other in later:
                    yield _Pair(one, other, tied=False)


def _counted(judgements: Iterable[Judgement], weigh: _Weigh, kinds: Collection[RaterKind]) -> list[Judgement]:
    """Judgements that count, once each and in the order of their ids, whatever order they came in."""
    given = {j.id: j for j in judgements}
    counted = [given[i] for i in sorted(given) if given[i].kind in kinds and weigh(given[i].rater) > 0]
    if given and not counted:
        raters = sorted({f"{j.rater} ({j.kind})" for j in given.values()})
        named = ", ".join(raters[:3]) + (" ..." if len(raters) > 3 else "")
        wanted = " or ".join(kinds) or "nobody"
        raise DataError(
            f"none of {len(given)} judgements counts: they are by {named}, and raters of kind {wanted} "
            "with a weight above 0 were asked for"
        )
    return counted


def _weights(rater_weights: Mapping[str, float] | None) -> _Weigh:
    weights = dict(rater_weights or {})
    for rater, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(f"the weight of rater '{rater}' is {weight}: give a number of 0 or more")
    return lambda rater: weights.get(rater, 1.0)


def _note_split(splits: dict[str, str], judgement: Judgement) -> None:
    """A prompt in two splits would train a judge on what measures it."""
    known = splits.setdefault(judgement.prompt_id, judgement.split)
    if known != judgement.split:
        raise DataError(
            f"the prompt {judgement.prompt_id} has judgements in the splits '{known}' and "
            f"'{judgement.split}': put all of them into one split"
        )
