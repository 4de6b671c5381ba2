"""The answer in plain words, made from the numbers, and from the paired tests what may be said of them.

It says better or worse only where interval and test agree; of everything else it says what the data
still allow, because "not distinguishable" on a hundred prompts leaves room for much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage.report.glossary import BY_KEY, MEASURES
from tutelage.report.numbers import NONE, count, listed, percent, points
from tutelage.report.sources import MODEL_NAMES, Change, Estimate, Evaluation, Sources


def answer(sources: Sources) -> list[str]:
    """The sentences of the opening paragraph. Never empty."""
    found = sources.evaluation
    trained = [m for m in found.measures if m != "base"] if found is not None else []
    if found is None or not trained:
        return ["No trained model has been evaluated yet, so there is nothing to say about what got better."]
    model = trained[-1]
    changes = _of(found, model)
    if not changes:
        return [f"{MODEL_NAMES[model]} was evaluated, but not against the base model, so no change is known."]
    said = [_tally(model, changes)]
    for word, opening in (("better", "What got better"), ("worse", "What got worse")):
        if matching := [c for c in changes if c.word == word]:
            said.append(f"{opening}: {'; '.join(_told(c, found) for c in matching)}.")
    if unclear := [c for c in changes if c.word == "not distinguishable"]:
        said.append(f"What cannot be told apart: {listed([_open(c) for c in unclear])}.")
    return [*said, *_refusing_more(changes), *_beside(found, model), *_weak_referee(sources, changes)]


def interval(estimate: Estimate) -> str:
    """`8.1 to 18.9%`."""
    if estimate.low is None or estimate.high is None:
        return NONE
    return f"{percent(estimate.low).rstrip('%')} to {percent(estimate.high)}"


def referee_accuracy(sources: Sources) -> Estimate | None:
    """How often the referee orders held-out comparisons as raters did."""
    return Estimate.read(sources.measured.get("referee", {}).get("accuracy"))


def is_coin(accuracy: Estimate | None) -> bool:
    """Whether an accuracy cannot be told from a coin toss."""
    return accuracy is not None and accuracy.low is not None and accuracy.low <= 0.5


def _of(found: Evaluation, model: str, against: str = "base") -> list[Change]:
    changes = (found.change(measure.key, model, against) for measure in MEASURES)
    return [change for change in changes if change is not None]


def _tally(model: str, changes: Sequence[Change]) -> str:
    words = [c.word for c in changes]
    parts = [f"{word} on {words.count(word)}" for word in ("better", "worse") if words.count(word)]
    if rest := words.count("not distinguishable"):
        parts.append(f"not distinguishable on {rest}")
    of = f"of {count(len(changes), 'measure')}"
    return f"Compared with the base model on the same prompts, {_name(model)} is {listed(parts)} {of}."


def _name(model: str) -> str:
    return f"the model after {'supervised fine-tuning (SFT)' if model == 'sft' else MODEL_NAMES[model]}"


def _told(change: Change, found: Evaluation) -> str:
    measure = BY_KEY[change.measure]
    after = found.measures[change.model][change.measure]
    if change.measure == "win_rate_vs_base":
        return f"it {measure.verb} on {percent(after.value)} of {after.n:,} {measure.item}"
    before = found.measures.get(change.against, {}).get(change.measure)
    often = "more" if change.difference > 0 else "less"
    instead = f", instead of {percent(before.value)} before" if before else ""
    return f"it {measure.verb} {often} often ({percent(after.value)} of {after.n:,} {measure.item}{instead})"


def _open(change: Change) -> str:
    name = BY_KEY[change.measure].name.lower()
    return f"{name} (anything from {points(change.low)} to {points(change.high)} points fits the data)"


def _refusing_more(changes: Sequence[Change]) -> list[str]:
    words = {c.measure: c.word for c in changes}
    if words.get("harmful_compliance") == "better" and words.get("over_refusal") == "worse":
        return ["It refuses more of everything, so part of the gain in safety is paid for with helpfulness."]
    if words.get("harmful_compliance") == "worse" and words.get("over_refusal") == "better":
        return ["It refuses less of everything, so the freer answers come with more harmful ones."]
    return []


def _beside(found: Evaluation, model: str) -> list[str]:
    """What the model is beside the other trained ones: SFT, on which it rests, and other methods'."""
    name, said, alike = MODEL_NAMES[model], list[str](), list[str]()
    for other in dict.fromkeys(c.against for c in found.changes.values() if c.model == model):
        changes = _of(found, model, other)
        if other == "base" or not changes:
            continue
        groups: Mapping[str, list[str]] = {
            word: [BY_KEY[c.measure].name.lower() for c in changes if c.word == word]
            for word in ("better", "worse")
        }
        parts = [f"{word} on {listed(names)}" for word, names in groups.items() if names]
        against = "SFT alone" if other == "sft" else MODEL_NAMES[other]
        rest = sum(len(names) for names in groups.values()) < len(changes)
        more = ", and not distinguishable on the rest" if rest else ""
        if parts:
            said.append(f"Compared with {against}, {name} is {listed(parts)}{more}.")
        elif other == "sft":
            said.append(
                f"{name} cannot be told apart from SFT on any measure: what changed, changed with SFT."
            )
        else:
            alike.append(against)
    return [*said, f"{name} cannot be told apart from {listed(alike)} on any measure."] if alike else said


def _weak_referee(sources: Sources, changes: Sequence[Change]) -> list[str]:
    accuracy = referee_accuracy(sources)
    if all(c.measure != "win_rate_vs_base" for c in changes) or not is_coin(accuracy) or accuracy is None:
        return []
    return [
        f"The referee behind the win rate orders {percent(accuracy.value)} of held-out comparisons as "
        f"people did ({interval(accuracy)}), which cannot be told from a coin toss: give its win rate no "
        "weight."
    ]
