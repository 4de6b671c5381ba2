"""The results of a round of blind evaluation in sentences and lines, with or without the models' names.

As long as a round is open its raters may be its owners too: what is told then says how far it is and whether it may
stop, not who is ahead.
"""

from __future__ import annotations

from tutelage.evals.human import KINDS
from tutelage.evals.human_results import Pair, Results
from tutelage.stats.intervals import Interval


def advice(found: Results) -> str:
    """Stop, or go on and for about how long: it says nothing of who is ahead."""
    if not found.judgements and not found.cannot_judge:
        return "Nobody has judged anything yet."
    if found.settled:
        return "Stop: every pair of models is settled, and looking earlier has not made that less certain."
    if not found.waiting:
        return (
            "Everything is judged and not settled: close it, and open a round with more prompts "
            "(humans.prompts, --new-prompts) if it matters."
        )
    if found.more is None:
        return (
            f"Go on: {count(found.waiting, 'pair')} of answers wait. At this rate the test set will hardly settle it; "
            "more prompts would (humans.prompts, --new-prompts)."
        )
    return f"Go on: about {count(found.more, 'judgement')} more, if they are like those so far."


def progress(found: Results) -> str:
    """How far the round is."""
    said = f"{count(found.judgements, 'judgement')} by {count(found.raters, 'rater')}"
    if found.cannot_judge:
        said += f", {found.cannot_judge} times somebody could not judge"
    return f"{said}; {count(found.waiting, 'pair')} of answers still want raters ({found.raters_each} each)."


def agreement(found: Results) -> str:
    """What raters of the same answers said of each other; empty where nobody shared any."""
    if found.agreed is None:
        return ""
    alpha = "" if found.agreement is None else f" (alpha {number(found.agreement)})"
    return f"Two raters of the same pair said the same in {found.agreed:.0%} of cases{alpha}."


def verdict(pair: Pair) -> str:
    """What a pair came to, with names."""
    if pair.rate is None:
        return f"{pair.model} against {pair.against}: nothing is judged yet."
    rate = f"{share(pair.rate)} over {count(pair.rate.n, 'prompt')}"
    word = {
        "above": f"{pair.model} is preferred to {pair.against}",
        "below": f"{pair.against} is preferred to {pair.model}",
        "even": f"{pair.model} and {pair.against} are as good as even",
        "open": f"{pair.model} and {pair.against} are not settled",
    }[pair.conclusion]
    return (
        f"{word}: {pair.model} wins {rate}; judgements {pair.wins} won, {pair.ties} tied, {pair.losses} lost."
    )


def lines(found: Results, names: bool) -> list[str]:
    """The round for a terminal. Without `names` nothing tells who is ahead."""
    state = f"closed {found.closed[:10]}" if found.closed else "open"
    text = [
        f"round {found.number}, {state}: {', '.join(found.models)} on {count(found.prompts, 'prompt')} "
        f"(test set {found.test_set}, evaluation {found.evaluation[:8]})",
        progress(found),
    ]
    if said := agreement(found):
        text.append(said)
    if not names:
        return [
            *text,
            advice(found),
            "Who is ahead is told once the round is closed: `tutelage humans close`.",
        ]
    for pair in found.pairs:
        text.append(verdict(pair))
        text += [f"  {KINDS[kind]}: {share(rate)}, n {rate.n}" for kind, rate in pair.kinds.items()]
        if pair.alike:
            text.append(
                f"  on {count(pair.alike, 'prompt')} more the answers are alike, and nobody was asked"
            )
        if pair.unjudged:
            text.append(f"  on {count(pair.unjudged, 'prompt')} nobody could judge")
    for model, rating in found.ratings.items():
        text.append(f"rating of {model}: {number(rating)}")
    for model, values in found.scores.items():
        told = ", ".join(f"{value} {number(kinds[''])}" for value, kinds in values.items())
        text.append(f"scores of {model} (1 to 5): {told}")
    if found.closed is None:
        text.append(advice(found))
    return text


def count(number_: int, noun: str) -> str:
    """`1 prompt`, `1,200 prompts`."""
    return f"{number_:,} {noun}{'' if number_ == 1 else 's'}"


def share(found: Interval) -> str:
    """`62.5% [51.0%, 72.1%]`."""
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def number(found: Interval) -> str:
    """`0.42 [0.10, 0.71]`."""
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
