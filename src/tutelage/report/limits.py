"""What the figures do not show: computed from the run where it can be, said plainly where it cannot."""

from __future__ import annotations

from typing import Any, NamedTuple

from tutelage.core.methods import of_kind
from tutelage.core.recipe import Recipe
from tutelage.report.glossary import BY_KEY
from tutelage.report.numbers import count, listed, number, percent
from tutelage.report.sources import ALPHA, MODEL_NAMES, Estimate, Sources, series
from tutelage.report.words import interval, is_coin

EMPTY_WORTH_SAYING = 0.03
WANTED = {"demonstrations": 10_000, "comparisons": 10_000}


class Limit(NamedTuple):
    title: str
    text: str


def limits(sources: Sources, recipe: Recipe) -> list[Limit]:
    """The limits of this run, the weightiest first."""
    found = [
        *_judges(sources, recipe),
        *_classifier(sources),
        Limit(
            "Honesty and capability are narrow.",
            "Honesty is recognised by text patterns, so an honest answer in unforeseen words counts as a "
            "failure, and one that mentions the right words as a success. Capability is the likelihood of "
            "given options: it does not show whether the model would say the right thing unasked.",
        ),
        *_data(sources, recipe),
        *_chance(sources, recipe),
        *_over_optimised(sources, recipe),
        _model(recipe),
        Limit(
            "Nobody attacked it.",
            "Each harmful request is asked once, in one turn and plain words. Persuasion over several "
            "turns, role play and other attacks were not tried, so a low compliance here says nothing "
            "about them.",
        ),
    ]
    return found


def _judges(sources: Sources, recipe: Recipe) -> list[Limit]:
    said: list[Limit] = []
    referee = Estimate.read(sources.measured.get("referee", {}).get("accuracy"))
    text = "Helpfulness is a win rate by the referee, a small model. No person compared these answers."
    if referee is not None:
        text += (
            f" The referee orders {percent(referee.value)} of {count(referee.n, 'held-out comparison')} as "
            f"raters did ({interval(referee)}); a coin would reach 50%."
        )
        if is_coin(referee):
            text += " As its interval includes 50%, the win rate carries no weight."
    else:
        text += " How often it agrees with people was not measured."
    said.append(Limit("A model decides who wins, not people.", text))
    reward = Estimate.read(sources.measured.get("reward", {}).get("accuracy"))
    trained = sources.measured.get("reward", {}).get("trained_on") or {}
    online = [method.label for method in of_kind("online", recipe.policies)]
    learns = "learn" if len(online) > 1 else "learns"
    if reward is not None and trained and online:
        said.append(
            Limit(
                "The reward is a rough stand-in for what people want.",
                f"It was learnt from {count(int(trained['comparisons']), 'comparison')} of answers to "
                f"{count(int(trained['prompts']), 'prompt')} and is right on {percent(reward.value)} of "
                f"held-out ones ({interval(reward)}). {listed(online)} {learns} its mistakes along with its merits.",
            )
        )
    return said


def _classifier(sources: Sources) -> list[Limit]:
    known = sources.evaluation.classifier if sources.evaluation is not None else {}
    agreement, missed = Estimate.read(known.get("agreement")), Estimate.read(known.get("recall"))
    people = Estimate.read((known.get("people") or {}).get("three_labels"))
    if agreement is None:
        text = "Its agreement with people is not known."
    else:
        text = (
            f"On {count(agreement.n, 'answer')} of other models that people labelled (XSTest) it agrees with "
            f"them on {percent(agreement.value)} ({interval(agreement)})"
        )
        text += f" and misses {percent(1 - missed.value)} of refusals." if missed is not None else "."
        if people is not None:
            text += f" Two people agree with each other on {percent(people.value)}, half refusals included."
        text += " The intervals in the table do not include this error."
    said = [
        Limit(
            "Refusals are recognised by a program.",
            f"{text} It tells refusing from answering, not whether an answer would do harm: an answer "
            "beside the subject counts as going along.",
        )
    ]
    return said + _empty(sources)


def _empty(sources: Sources) -> list[Limit]:
    """Empty answers are neither refusal nor compliance, so a model that falls silent looks safe."""
    other = sources.evaluation.other if sources.evaluation is not None else {}
    shares = {m: values["answers_empty"] for m, values in other.items() if "answers_empty" in values}
    worst = max((m for m in shares if m != "base"), key=lambda m: shares[m].value, default=None)
    if worst is None or shares[worst].value < EMPTY_WORTH_SAYING:
        return []
    return [
        Limit(
            "Some answers are empty.",
            f"{percent(shares[worst].value)} of the {MODEL_NAMES[worst]} model's answers say nothing, "
            "which counts neither as a refusal nor as going along, so silence can look like safety.",
        )
    ]


def _data(sources: Sources, recipe: Recipe) -> list[Limit]:
    named = [s.source for s in (*recipe.data.comparisons, *recipe.data.demonstrations)]
    ours = any(name.startswith("pack:") for name in [*named, recipe.data.evaluation])
    said: list[Limit] = []
    if any(s.source.startswith("pack:") for s in recipe.data.comparisons):
        said.append(
            Limit(
                "Its authors are not a crowd.",
                "The pack's rankings are those of its authors: one view of what is helpful, harmless and "
                "honest.",
            )
        )
    if recipe.data.evaluation.startswith("pack:") and ours:
        said.append(
            Limit(
                "The prompts that test come from the hands that wrote those that train.",
                f"They do not overlap{_leaks(sources)}, but share a style, so expect smaller gains on "
                "requests from elsewhere. All are in English.",
            )
        )
    small = [
        f"{count(amount, name.rstrip('s'))} where {WANTED[name]:,} or more are usual"
        for name, amount in _sizes(sources).items()
        if amount < WANTED[name]
    ]
    if small:
        said.append(
            Limit("The data are few.", f"{listed(small).capitalize()}. More data may change what came out.")
        )
    return said


def _sizes(sources: Sources) -> dict[str, int]:
    sections = (sources.data or {}).get("sections") or {}
    sizes: dict[str, int] = {}
    if "rows" in sections.get("demonstrations", {}):
        sizes["demonstrations"] = int(sections["demonstrations"]["rows"])
    if "pairs" in sections.get("comparisons", {}):
        sizes["comparisons"] = int(sections["comparisons"]["pairs"])
    return sizes


def _leaks(sources: Sources) -> str:
    leakage: dict[str, Any] = ((sources.data or {}).get("sections") or {}).get("leakage") or {}
    total = sum(sum(kinds.values()) for between, kinds in leakage.items() if "evaluation" in between)
    if not leakage:
        return " as far as was checked"
    return f", but for {count(total, 'prompt')} found by the data check" if total else " (checked by n-grams)"


def _chance(sources: Sources, recipe: Recipe) -> list[Limit]:
    said = [
        Limit(
            "One run, one seed.",
            f"Everything was trained once, with seed {recipe.seed}, and each prompt answered once at "
            f"temperature {number(recipe.evaluate.temperature, 1)}. The intervals cover the choice of "
            "prompts, not what another seed would bring.",
        )
    ]
    found = sources.evaluation
    if found is None:
        return said
    looks = sum(c.p is not None for c in found.changes.values())
    if looks > 1:
        chance = 1 - (1 - ALPHA) ** looks
        said.append(
            Limit(
                "Many looks at once.",
                f"{looks} paired tests stand behind this page, each at 5%. If nothing had changed at all, at "
                f"least one would still say better or worse with a chance of about {percent(chance, 0)}, "
                "were they independent.",
            )
        )
    widths = {
        key: (e.high - e.low) / 2
        for estimates in found.measures.values()
        for key, e in estimates.items()
        if e.low is not None and e.high is not None
    }
    if widths:
        key = max(widths, key=lambda k: widths[k])
        said.append(
            Limit(
                "The sets are small.",
                f"The least certain figure, {BY_KEY[key].name.lower()}, is known to about "
                f"{number(100 * widths[key], 0)} points either way. Small changes cannot be seen with so "
                "few prompts.",
            )
        )
    if recipe.evaluate.limit is not None:
        said.append(
            Limit("Cut short.", f"The recipe asked for {recipe.evaluate.limit} prompts of each set only.")
        )
    return said


def _over_optimised(sources: Sources, recipe: Recipe) -> list[Limit]:
    said: list[Limit] = []
    for method in of_kind("online", recipe.policies):
        held_out = series(sources.curves.get(method.name, ()), "held_out_reward")
        if len(held_out) < 2:
            continue
        best_step, best = max(held_out, key=lambda at: at[1])
        last_step, last = held_out[-1]
        if best_step != last_step:
            said.append(
                Limit(
                    f"{method.label} may have gone too far.",
                    f"On held-out prompts the reward was highest at iteration {best_step} ({number(best)}) "
                    f"and ended at {number(last)}. With few prompts that may be chance, or the start of "
                    "over-optimisation.",
                )
            )
    return said


def _model(recipe: Recipe) -> Limit:
    if recipe.model.base == "embedded":
        name = "SmolLM2-135M-Instruct has 135 million parameters, far fewer than assistants in daily use."
        return Limit(
            "The model is small.", f"{name} What it shows about the method may not hold for larger ones."
        )
    return Limit(
        "One model.", f"All figures are of {recipe.model.base}; another base may behave differently."
    )
