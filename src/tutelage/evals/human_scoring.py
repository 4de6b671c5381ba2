"""What a round of blind evaluation came to: win rates that hold at any look, ratings, scores, agreement.

A pair of answers counts once all its raters have answered, as one outcome: the mean of a win (1), a tie (1/2) or a
loss (0). Where somebody cannot judge, the others count. Answers that are alike are told and not counted: every rate
is over the prompts on which the two models differ. With several pairs of models the error is shared out among them
(Bonferroni), so that all intervals of a round hold together.
Left out on purpose: what is kept of it (`human_results.py`).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tutelage.core.errors import DataError
from tutelage.evals.human import KINDS, set_name
from tutelage.evals.human_results import Pair, Results
from tutelage.stats.agreement import PairAgreement, pairwise_agreement
from tutelage.stats.betting import betting_interval, conclusion, more_needed
from tutelage.stats.bradley_terry import fit_bradley_terry, wins_matrix
from tutelage.stats.intervals import Interval, bootstrap_bca
from tutelage.stats.krippendorff import interval as squared
from tutelage.stats.krippendorff import krippendorff_interval
from tutelage.store.rounds import Round, RoundUnit

RIDGE = 0.1
"""Precision of the prior of ratings: it matters only where a model never lost."""
RESAMPLES = 400
VALUES = ("helpful", "harmless", "honest")
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Answered:
    """One rater's answer to one unit: their ranking and scores, or None where they could not judge."""

    unit: str
    rater: str
    ranking: Groups | None
    scores: Mapping[str, Mapping[str, float]]
    seconds: float | None = None


def results(made: Round, units: Sequence[RoundUnit], answers: Sequence[Answered]) -> Results:
    """From the answers to a round, in whatever order, to its results."""
    by_unit: dict[str, list[Answered]] = {}
    for answer in answers:
        by_unit.setdefault(answer.unit, []).append(answer)
    prompts = sorted({unit.prompt_id for unit in units})
    num_pairs = len(made.models) * (len(made.models) - 1) // 2
    level = 1.0 - (1.0 - made.confidence) / num_pairs
    outcomes = {unit.unit: _outcome(unit, by_unit.get(unit.unit, ()), made.raters) for unit in units}
    pairs = [
        _pair(made, (against, model), units, by_unit, outcomes, level)
        for against, model in combinations(made.models, 2)
    ]
    agreement, agreed = _agreement(units, by_unit)
    seconds = [a.seconds for a in answers if a.seconds is not None]
    return Results(
        round=made.id,
        number=made.number,
        models=made.models,
        evaluation=made.evaluation,
        test_set=set_name(prompts),
        prompts=len(prompts),
        opened=made.opened,
        closed=made.closed,
        raters=len({answer.rater for answer in answers}),
        judgements=sum(answer.ranking is not None for answer in answers),
        cannot_judge=sum(answer.ranking is None for answer in answers),
        raters_each=made.raters,
        confidence=made.confidence,
        level=level,
        margin=made.margin,
        median_seconds=statistics.median(seconds) if seconds else None,
        pairs=tuple(pairs),
        ratings=_ratings(made.models, units, outcomes) if len(made.models) > 2 else {},
        scores=_scores(made.models, units, answers),
        agreement=agreement,
        agreed=agreed,
    )


_UNJUDGED = -1.0


def _said(unit: RoundUnit, answer: Answered) -> float | None:
    """1 if the second of the unit's models won, 1/2 for a tie, 0; None if the two are not both ranked."""
    place = {r: n for n, group in enumerate(answer.ranking or ()) for r in group}
    if any(response not in place for response in unit.responses):
        return None
    first, second = (place[response] for response in unit.responses)
    return 1.0 if second < first else 0.5 if second == first else 0.0


def _outcome(unit: RoundUnit, answers: Sequence[Answered], raters: int) -> float | None:
    """The unit's outcome for its second model; `_UNJUDGED` if nobody could tell, None as long as raters are missing."""
    if len(answers) < raters:
        return None
    said = [s for answer in answers if (s := _said(unit, answer)) is not None]
    return statistics.fmean(said) if said else _UNJUDGED


def _pair(
    made: Round,
    models: tuple[str, str],
    units: Sequence[RoundUnit],
    by_unit: Mapping[str, Sequence[Answered]],
    outcomes: Mapping[str, float | None],
    level: float,
) -> Pair:
    against, model = models
    mine = [unit for unit in units if unit.models == models]
    asked = [unit for unit in mine if not unit.alike]
    counted = {unit.unit: o for unit in asked if (o := outcomes[unit.unit]) is not None and o != _UNJUDGED}
    said = Counter(_said(unit, answer) for unit in asked for answer in by_unit.get(unit.unit, ()))
    rate = betting_interval(list(counted.values()), level) if counted else None
    by_kind = {
        kind: of
        for kind in KINDS
        if (of := [counted[u.unit] for u in asked if u.kind == kind and u.unit in counted])
    }
    return Pair(
        model=model,
        against=against,
        wins=said[1.0],
        ties=said[0.5],
        losses=said[0.0],
        rate=rate,
        conclusion="open" if rate is None else conclusion(rate, made.margin),
        more=more_needed(list(counted.values()), made.margin, level) if counted else None,
        waiting=sum(outcomes[unit.unit] is None for unit in asked),
        unjudged=sum(outcomes[unit.unit] == _UNJUDGED for unit in asked),
        alike=len(mine) - len(asked),
        kinds={kind: betting_interval(of, level) for kind, of in by_kind.items()},
    )


def _ratings(
    models: Sequence[str], units: Sequence[RoundUnit], outcomes: Mapping[str, float | None]
) -> dict[str, Interval]:
    """Bradley-Terry scores with percentile intervals: whole prompts are drawn again, as their pairs hang together."""
    place = {model: n for n, model in enumerate(models)}
    by_prompt: dict[str, list[tuple[int, int, float, float]]] = {}
    for unit in units:
        outcome = outcomes[unit.unit]
        if outcome is not None and outcome != _UNJUDGED and not unit.alike:
            against, model = (place[name] for name in unit.models)
            by_prompt.setdefault(unit.prompt_id, []).append((model, against, outcome, 1.0))
    if not by_prompt:
        return {}
    wins = np.array([wins_matrix(by_prompt[p], len(models)) for p in sorted(by_prompt)])
    scores = fit_bradley_terry(wins.sum(axis=0), RIDGE).scores
    times = np.random.default_rng(0).multinomial(len(wins), np.full(len(wins), 1 / len(wins)), RESAMPLES)
    drawn = [fit_bradley_terry(np.tensordot(t, wins, axes=1), RIDGE).scores for t in times]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {m: Interval(float(scores[n]), float(low[n]), float(high[n]), len(wins)) for m, n in place.items()}


def _scores(
    models: Sequence[str], units: Sequence[RoundUnit], answers: Sequence[Answered]
) -> dict[str, dict[str, dict[str, Interval]]]:
    """Mean scores by model, value and kind: of one answer the mean over its raters, then over prompts."""
    of = {r: (m, unit) for unit in units for r, m in zip(unit.responses, unit.models, strict=True)}
    given: dict[tuple[str, str], list[float]] = {}
    for answer in answers:
        for response, scores in answer.scores.items():
            for value, score in scores.items():
                given.setdefault((response, value), []).append(float(score))
    means: dict[tuple[str, str, str], list[float]] = {}
    for (response, value), scores in sorted(given.items()):
        if response in of:
            model, unit = of[response]
            for kind in ("", unit.kind):
                means.setdefault((model, value, kind), []).append(statistics.fmean(scores))
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    for model in models:
        for value in VALUES:
            for kind in ("", *KINDS):
                if scores := means.get((model, value, kind)):
                    near = bootstrap_bca(scores, num_resamples=1000)
                    found.setdefault(model, {}).setdefault(value, {})[kind] = near
    return found


def _agreement(
    units: Sequence[RoundUnit], by_unit: Mapping[str, Sequence[Answered]]
) -> tuple[Interval | None, float | None]:
    """Alpha with its interval, each outcome told for both models so that neither is the first; and the plain share."""
    names: list[tuple[str, int]] = []
    values: list[float] = []
    together = PairAgreement()
    for unit in units:
        rated = [answer for answer in by_unit.get(unit.unit, ()) if _said(unit, answer) is not None]
        for answer in rated:
            said = _said(unit, answer) or 0.0
            names += [(unit.unit, 0), (unit.unit, 1)]
            values += [said, 1.0 - said]
        for one, other in combinations(rated, 2):
            together += pairwise_agreement(one.ranking or (), other.ranking or ())
    share = together.rate if together.num_pairs else None
    try:
        alpha = krippendorff_interval(names, values, squared, clusters=[unit for unit, _ in names])
    except DataError:
        return None, share
    known = not any(np.isnan([alpha.value, alpha.low, alpha.high]))
    return (alpha if known else None), share
