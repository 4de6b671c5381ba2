"""Closed rounds of blind evaluation by people: a section of the page, and `human` in `summary.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.evals.human import KINDS
from tutelage.evals.human_results import Pair, Results
from tutelage.report.figures import Figure
from tutelage.report.numbers import NONE, count, number, percent
from tutelage.report.plots import Axis, Guide, Row, intervals
from tutelage.report.sources import MODEL_NAMES
from tutelage.stats.intervals import Interval

VALUES = ("helpful", "harmless", "honest")


@dataclass(frozen=True)
class HumanRound:
    """One round as the page tells it; `scores` are a model's name and its cells, one a value."""

    title: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    values: tuple[str, ...]
    scores: tuple[tuple[str, tuple[str, ...]], ...]


def human_summary(people: Sequence[Results]) -> dict[str, Any]:
    """`human`: what people said of each pair of models, by `ppo_vs_base`, round after round. Empty without one."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in people:
        for pair in one.pairs:
            found.setdefault(f"{pair.model}_vs_{pair.against}", []).append(_plain(one, pair))
    return {"human": found} if found else {}


def human_rounds(people: Sequence[Results]) -> list[HumanRound]:
    """The rounds for the page, the last one first."""
    return [_round(one) for one in reversed(people)]


def _plain(one: Results, pair: Pair) -> dict[str, Any]:
    return {
        "round": one.number,
        "closed": one.closed,
        "evaluation": one.evaluation,
        "test_set": one.test_set,
        "raters": one.raters,
        "confidence": one.level,
        **({} if pair.rate is None else asdict(pair.rate)),
        "wins": pair.wins,
        "ties": pair.ties,
        "losses": pair.losses,
        "alike": pair.alike,
        "conclusion": pair.conclusion,
        "kinds": {kind: asdict(rate) for kind, rate in pair.kinds.items()},
        "agreement": None if one.agreement is None else asdict(one.agreement),
        "scores": {m: {v: asdict(k[""]) for v, k in one.scores.get(m, {}).items()} for m in _models(pair)},
        "ratings": {m: asdict(one.ratings[m]) for m in _models(pair) if m in one.ratings},
    }


def _models(pair: Pair) -> tuple[str, str]:
    return pair.model, pair.against


def _round(one: Results) -> HumanRound:
    closed = (one.closed or "")[:10]
    said = [
        f"Closed {closed}: {count(one.judgements, 'judgement')} by {count(one.raters, 'rater')} on "
        f"{count(one.prompts, 'prompt')} (test set {one.test_set}).",
        *(_verdict(pair) for pair in one.pairs),
    ]
    if one.agreed is not None:
        alpha = "" if one.agreement is None else f" (Krippendorff's alpha {_interval(one.agreement)})"
        said.append(f"Two raters of the same pair said the same in {percent(one.agreed, 0)} of cases{alpha}.")
    if one.ratings:
        rated = ", ".join(f"{_name(m)} {_interval(r)}" for m, r in one.ratings.items())
        said.append(f"Bradley-Terry ratings in logits: {rated}.")
    values = tuple(v for v in VALUES if any(v in of for of in one.scores.values()))
    scores = tuple((_name(m), tuple(_cell(of, v) for v in values)) for m, of in one.scores.items())
    figures = tuple(_figure(one, pair) for pair in one.pairs if pair.rate is not None)
    return HumanRound(f"Round {one.number}", tuple(said), figures, values, scores)


def _verdict(pair: Pair) -> str:
    model, against = _name(pair.model), _name(pair.against)
    if pair.rate is None:
        return f"Of {model} and {against} nothing was judged."
    word = {
        "above": f"{model} is preferred to {against}",
        "below": f"{against} is preferred to {model}",
        "even": f"{model} and {against} are as good as even",
        "open": f"{model} and {against} cannot be told apart by this round",
    }[pair.conclusion]
    low, high = percent(pair.rate.low), percent(pair.rate.high)
    return (
        f"{word}: {model} wins {percent(pair.rate.value)} ({low} to {high}) over {count(pair.rate.n, 'prompt')}; "
        f"{pair.wins:,} won, {pair.ties:,} tied, {pair.losses:,} lost."
    )


def _figure(one: Results, pair: Pair) -> Figure:
    model, against = _name(pair.model), _name(pair.against)
    title = f"{model} against {against}, judged by people"
    rates = {"all": pair.rate, **{KINDS[kind]: rate for kind, rate in pair.kinds.items()}}
    rows = [
        Row(label, f"n {rate.n:,}", [("one", rate.value, rate.low, rate.high)])
        for label, rate in rates.items()
        if rate is not None
    ]
    caption = (
        f"Right of the line {model} is preferred. Bars are {percent(one.level, 0)} intervals that hold at any look; "
        "n counts prompts."
    )
    axis = Axis(f"how often {model} is preferred", low=0.0, high=1.0, percent=True)
    name = f"people-{one.number}-{pair.model}-{pair.against}"
    return Figure(title, intervals(name, title, caption, axis, rows, [Guide(0.5, "even")]), caption)


def _cell(of: Any, value: str) -> str:
    found: Interval | None = of.get(value, {}).get("")
    return NONE if found is None else f"{_interval(found)}, n {found.n:,}"


def _interval(found: Interval) -> str:
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def _name(model: str) -> str:
    return MODEL_NAMES.get(model, model)
