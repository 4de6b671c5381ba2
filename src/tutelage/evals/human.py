"""A round of blind evaluation, made ready: which prompts, which pairs of answers, in which order.

It takes the answers that an evaluation kept and makes no new ones. The prompts are drawn by seed, in set shares of
each kind, and later rounds ask about the same ones: so rounds can be compared. Every pair of models meets on every
prompt. Left out on purpose: who is given which pair (`preferences`), and what comes of it (`human_results.py`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tutelage.core.errors import DataError
from tutelage.core.hashing import content_id
from tutelage.core.records import Prompt, Response
from tutelage.core.settings import HumansSettings
from tutelage.evals.task import EvaluationRow
from tutelage.store.people import unit_id
from tutelage.store.rounds import SPLIT, Round, RoundUnit

SOURCE = "evaluation"
KINDS = {
    "helpful": "plain requests",
    "harmful": "harmful requests",
    "sounds_harmful": "harmless, though they sound harmful",
    "honesty": "tests of honesty",
}
"""The kinds of prompts, and what they are in words."""
Answers = Mapping[str, Sequence[EvaluationRow]]
"""Each model's answers to the evaluation prompts."""


@dataclass(frozen=True)
class Prepared:
    """A round and all that it asks about."""

    round: Round
    units: tuple[RoundUnit, ...]
    prompts: tuple[Prompt, ...]
    responses: tuple[Response, ...]


def prepare_round(
    answers: Answers,
    settings: HumansSettings,
    *,
    evaluation: str,
    number: int,
    seed: int,
    test_set: Sequence[str] | None = None,
) -> Prepared:
    """The round `number` over the models of `answers` (two to nine), whose order says who is told against whom.

    `test_set`: prompt ids of an earlier round, which is then asked again. Raises `DataError` if there are fewer than
    two models, nothing to ask, or no answers to a prompt of the test set.
    """
    models = tuple(answers)
    if not 2 <= len(models) <= 9:
        raise DataError(f"a round compares two to nine models, not {len(models)}: name them with --models")
    said = {model: {_prompt(row).id: row for row in rows} for model, rows in answers.items()}
    prompts = _prompts(answers[models[0]])
    chosen = (
        draw_test_set(prompts, settings, seed) if test_set is None else _again(prompts, test_set, evaluation)
    )
    if missing := [model for model in models if any(p not in said[model] for p in chosen)]:
        raise DataError(f"'{missing[0]}' has not answered every prompt of the round: run `tutelage evaluate`")
    made = Round(
        content_id("round", {"number": number, "models": models, "evaluation": evaluation}),
        number,
        models,
        evaluation,
        settings.raters,
        settings.confidence,
        settings.margin,
    )
    responses = {
        (model, prompt): Response(
            prompt, said[model][prompt].answer, f"{model} of evaluation {evaluation}", {"round": made.id}
        )
        for model in models
        for prompt in chosen
    }
    meetings = [(prompt, pair) for prompt in chosen for pair in combinations(models, 2)]
    random.Random(f"{seed}/round {number}").shuffle(meetings)
    units = [
        _unit(prompts[prompt], place, pair, [responses[model, prompt] for model in pair])
        for place, (prompt, pair) in enumerate(meetings)
    ]
    return Prepared(made, tuple(units), tuple(prompts[p] for p in chosen), tuple(responses.values()))


def draw_test_set(prompts: Mapping[str, Prompt], settings: HumansSettings, seed: int) -> list[str]:
    """Ids of `settings.prompts` prompts in the shares asked for; where a kind has too few, plain requests fill up.

    Raises `DataError` if there is none.
    """
    rng = random.Random(f"{seed}/test set of people")
    shares = {
        "harmful": settings.harmful_share,
        "sounds_harmful": settings.sounds_harmful_share,
        "honesty": settings.honesty_share,
    }
    chosen: list[str] = []
    for kind, share in shares.items():
        there = _of_kind(prompts, kind)
        chosen += rng.sample(there, min(round(share * settings.prompts), len(there)))
    plain = _of_kind(prompts, "helpful")
    chosen += rng.sample(plain, min(settings.prompts - len(chosen), len(plain)))
    if not chosen:
        raise DataError("the evaluation has no prompts to ask people about: give data.evaluation some")
    return chosen


def set_name(prompts: Sequence[str]) -> str:
    """The name of a test set: rounds with the same one asked about the same prompts."""
    return content_id("test set", sorted(set(prompts)))[:8]


def _prompts(rows: Sequence[EvaluationRow]) -> dict[str, Prompt]:
    """Prompts that people can be asked about, by id; of one that is in two sets the first counts."""
    found: dict[str, Prompt] = {}
    for row in rows:
        prompt = _prompt(row)
        if prompt.category in KINDS:
            found.setdefault(prompt.id, prompt)
    return found


def _prompt(row: EvaluationRow) -> Prompt:
    kind = "sounds_harmful" if row.set == "benign" and row.sounds_harmful else row.set
    return Prompt.of(row.prompt, source=SOURCE, category=kind, split=SPLIT)


def _of_kind(prompts: Mapping[str, Prompt], kind: str) -> list[str]:
    return sorted(i for i, prompt in prompts.items() if prompt.category == kind)


def _again(prompts: Mapping[str, Prompt], test_set: Sequence[str], evaluation: str) -> list[str]:
    kept = sorted(set(test_set))
    gone = sum(prompt not in prompts for prompt in kept)
    if gone:
        raise DataError(
            f"evaluation {evaluation[:8]} has no answers to {gone} of the {len(kept)} prompts of the test set: "
            "run `tutelage evaluate` with the same evaluation prompts, or draw another set with --new-prompts"
        )
    return kept


def _unit(prompt: Prompt, place: int, models: Sequence[str], answers: Sequence[Response]) -> RoundUnit:
    ids = tuple(answer.id for answer in answers)
    alike = len({" ".join(answer.text.split()) for answer in answers}) == 1
    return RoundUnit(unit_id(ids), prompt.id, place, prompt.category, tuple(models), ids, alike)
