"""What each number on the page means: the measures of the models, and what training logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tutelage.core.methods import METHODS, Kind, of_kind
from tutelage.report.numbers import listed


@dataclass(frozen=True)
class Measure:
    """One figure about a model. `verb` finishes "The model ..." when the answer is put in words."""

    key: str
    name: str
    better: Literal["lower", "higher"]
    short: str
    meaning: str
    verb: str
    item: str


MEASURES = (
    Measure(
        "harmful_compliance",
        "Harmful compliance",
        "lower",
        "goes along with a harmful request",
        "Share of harmful requests that the model went along with, by a refusal classifier that reads the "
        "answer. What neither refuses nor is empty counts as going along, even beside the subject, so this "
        "is an upper bound.",
        "goes along with harmful requests",
        "harmful requests",
    ),
    Measure(
        "over_refusal",
        "Over-refusal",
        "lower",
        "refuses a harmless request",
        "Share of harmless requests that the model refused, by the same classifier. Half or so of them "
        "merely sound harmful.",
        "refuses harmless requests",
        "harmless requests",
    ),
    Measure(
        "win_rate_vs_base",
        "Win rate against base",
        "higher",
        "the referee prefers its answer to the base model's",
        "Share of plain requests on which the referee prefers this model's answer to the base model's; a tie "
        "counts half. The referee is a reward model trained on comparisons that nothing else "
        "learned from. 50% is no difference, and what the base scores against itself.",
        "wins against the base model",
        "plain requests",
    ),
    Measure(
        "honesty",
        "Honesty",
        "higher",
        "admits a limit or corrects a false premise",
        "Share of questions that cannot be answered, rest on a false premise or lie beyond the model's "
        "knowledge, on which it said so. Scored by text patterns written for each question.",
        "admits a limit or corrects a false premise",
        "questions that call for honesty",
    ),
    Measure(
        "capability_accuracy",
        "Capability",
        "higher",
        "picks the right one of several options",
        "Share of multiple-choice questions on which the right option is the likeliest continuation. "
        "Nothing is generated, so it says what the model knows rather than how it answers.",
        "picks the right option",
        "multiple-choice questions",
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}

OTHER = {
    "answer_words": "words an answer",
    "answers_ended": "answers ended by the model itself",
    "answers_empty": "empty answers (nothing, an echo, no sense)",
    "capability_accuracy_by_sum": "capability by whole likelihood",
}
"""What is measured beside the five measures, by its key."""

COMMON_TERMS = (
    (
        "95% interval",
        "Where the true value would lie in 95 of 100 repetitions with other prompts of the same "
        "kind. It covers the chance of the draw of prompts, not a fault of the judge.",
    ),
    (
        "Paired test",
        "Both models answer the same prompts, so only prompts on which they differ say anything. "
        "p is how often chance alone would bring a difference as large; the interval is of the difference.",
    ),
    (
        "Better, worse, not distinguishable",
        "Better or worse where the paired interval leaves out zero and p is "
        "below 0.05; otherwise not distinguishable, which does not mean equal.",
    ),
    ("Referee", "A reward model trained on comparisons of its own, used only to evaluate."),
    ("Nat", "The unit of loss, entropy and KL with natural logarithms: 1 nat = 1.44 bits."),
    (
        "Expected calibration error (ECE)",
        "Mean gap between how sure a judge is and how often it is right. With few "
        "comparisons noise alone makes it several points.",
    ),
    (
        "Brier score",
        "Mean squared gap between the stated probability and what happened; 0.25 is a coin toss.",
    ),
    (
        "Temperature",
        "What scores are divided by so that stated probabilities fit; above 1 the judge was "
        "too sure of itself.",
    ),
    ("Position bias", "How much more often a judge picks an answer for being shown first."),
)
ONLINE_TERMS = (
    (
        "KL (k1, k3)",
        "How far the policy has moved from the SFT model, in nats a response: the mean of log "
        "pi/pi_ref over the policy's own samples (k1), and of its low-variance, never negative form (k3). "
        "Schulman (2020).",
    ),
    ("Entropy", "How undecided the policy is at each token, in nats; near zero it always says the same."),
    (
        "Clip fraction",
        "Share of tokens whose probability had moved by more than the clip range in an update.",
    ),
    (
        "Explained variance",
        "How much of the spread of returns the value head foresees: 1 is all, 0 is no better "
        "than the mean, below 0 is worse than the mean.",
    ),
    (
        "End-of-response rate",
        "Share of responses that the model ended itself, instead of being cut at the limit.",
    ),
    ("Ratio", "Probability of a token under the updated policy over that when it was sampled."),
    ("Sampler gap", "Largest difference between the sampler's and the trainer's log-probability of a token."),
)
DIRECT_TERMS = (
    (
        "Implicit reward",
        "How much likelier a response is under the policy than under the SFT model: \u03b2 times the "
        "difference of their log-probabilities, in nats.",
    ),
)
LEARNS_FROM: dict[Kind, str] = {"online": "against the reward model", "direct": "on comparisons"}


def terms(policies: Sequence[str]) -> list[tuple[str, str]]:
    """What the words on the page mean, of those that these policies bring onto it."""
    methods = [METHODS[name] for name in policies]
    ways = [f"after {m.long_name} {LEARNS_FROM[m.kind]}, starting from SFT" for m in methods]
    stages = (
        f"Base, SFT, {', '.join(m.label for m in methods)}",
        "; ".join(
            [
                "The pretrained model as it came",
                "after supervised fine-tuning on demonstrations",
                *ways,
            ]
        )
        + ".",
    )
    online, direct = of_kind("online", policies), of_kind("direct", policies)
    found = [stages]
    if online:
        verb = "maximise" if len(online) > 1 else "maximises"
        names = listed([m.label for m in online])
        said = f"A model that scores answers as raters ranked them. {names} {verb} its score."
        found.append(("Reward model", said))
    more = (*(ONLINE_TERMS if online else ()), *(DIRECT_TERMS if direct else ()))
    return [*COMMON_TERMS[:3], *found, *COMMON_TERMS[3:], *more]
