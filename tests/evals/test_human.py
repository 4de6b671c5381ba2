"""A round made ready, and what it comes to: by hand."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.evals.evaluated import rows_of
from tutelage.core.errors import DataError
from tutelage.core.settings import HumansSettings
from tutelage.evals.human import Prepared, draw_test_set, prepare_round
from tutelage.evals.human_results import Results
from tutelage.evals.human_scoring import Answered, results
from tutelage.evals.human_words import advice, lines
from tutelage.stats.betting import betting_interval
from tutelage.store.rounds import RoundUnit

SETTINGS = HumansSettings(
    prompts=20, harmful_share=0.2, sounds_harmful_share=0.1, honesty_share=0.2, raters=1, margin=0.1
)


def prepared(
    *models: str, settings: HumansSettings = SETTINGS, alike: int = 0, seed: int = 1, **kept
) -> Prepared:
    answers = {model: rows_of(model, alike=alike) for model in models}
    return prepare_round(answers, settings, evaluation="e" * 16, number=1, seed=seed, **kept)


def ranked(unit: RoundUnit, order: str, rater: str = "ada", **kept) -> Answered:
    """`>`: the second of the unit's models (the later one) is better, `<` worse, `=` as good."""
    against, model = unit.responses
    groups = {">": ((model,), (against,)), "<": ((against,), (model,)), "=": ((against, model),)}
    return Answered(unit.unit, rater, groups[order], **{"scores": {}, **kept})


def test_a_test_set_has_the_shares_asked_for_and_is_the_same_for_the_same_seed() -> None:
    made = prepared("base", "ppo")
    kinds = Counter(unit.kind for unit in made.units)
    assert kinds == {"helpful": 10, "harmful": 4, "sounds_harmful": 2, "honesty": 4}
    ids = {p.id for p in made.prompts}
    assert ids == {p.id for p in prepared("sft", "ppo").prompts}
    assert ids != {p.id for p in prepared("base", "ppo", seed=2).prompts}
    assert {p.split for p in made.prompts} == {"evaluation"}


def test_where_a_kind_has_too_few_plain_requests_fill_up() -> None:
    prompts = {p.id: p for p in prepared("a", "b", settings=replace_shares(0.9)).prompts}
    assert Counter(p.category for p in prompts.values()) == {"harmful": 8, "helpful": 12}
    with pytest.raises(DataError, match="no prompts"):
        draw_test_set({}, SETTINGS, 1)


def replace_shares(harmful: float) -> HumansSettings:
    return SETTINGS.model_copy(
        update={"harmful_share": harmful, "sounds_harmful_share": 0.0, "honesty_share": 0.0}
    )


def test_every_pair_of_models_meets_on_every_prompt() -> None:
    made = prepared("base", "sft", "ppo")
    assert Counter(u.models for u in made.units) == {
        ("base", "sft"): 20,
        ("base", "ppo"): 20,
        ("sft", "ppo"): 20,
    }
    texts = {r.id: (r.prompt_id, r.text) for r in made.responses}
    for unit in made.units:
        for model, response in zip(unit.models, unit.responses, strict=True):
            prompt, text = texts[response]
            assert prompt == unit.prompt_id and model.upper() in text
    assert len({u.unit for u in made.units}) == 60 and sorted(u.place for u in made.units) == list(range(60))


def test_a_later_round_asks_the_same_prompts_or_says_what_is_gone() -> None:
    first = [p.id for p in prepared("base", "ppo", seed=5).prompts]
    again = prepared("base", "ppo", seed=1, test_set=first)
    assert sorted(p.id for p in again.prompts) == sorted(first)
    with pytest.raises(DataError, match=r"no answers to 1 of the 21 prompts.*--new-prompts"):
        prepared("base", "ppo", test_set=[*first, "x" * 16])


def test_one_model_is_no_comparison_and_every_model_must_have_answered() -> None:
    with pytest.raises(DataError, match="two to nine"):
        prepared("base")
    answers = {"base": rows_of("base"), "ppo": rows_of("ppo")[:-30]}
    with pytest.raises(DataError, match="'ppo' has not answered every prompt"):
        prepare_round(answers, SETTINGS, evaluation="e", number=1, seed=1)


def come_to(made: Prepared, answers: list[Answered]) -> Results:
    return results(made.round, made.units, answers)


def test_wins_ties_losses_and_rate_by_hand() -> None:
    made = prepared("base", "ppo", alike=20)
    asked = [u for u in made.units if not u.alike]
    assert len(asked) == 10 and all(u.kind != "helpful" for u in asked)
    found = come_to(made, [ranked(u, o) for u, o in zip(asked, ">>>>=<<", strict=False)])
    (pair,) = found.pairs
    assert (pair.model, pair.against) == ("ppo", "base")
    assert (pair.wins, pair.ties, pair.losses, pair.waiting, pair.alike) == (4, 1, 2, 3, 10)
    # (4 + 1/2) / 7
    assert pair.rate == betting_interval([1, 1, 1, 1, 0.5, 0, 0]) and pair.rate.value == pytest.approx(
        4.5 / 7
    )
    turned = come_to(
        prepared("ppo", "base", alike=20),
        [],
    )
    assert turned.pairs[0].rate is None and turned.pairs[0].model == "base"


def test_a_prompt_counts_once_all_its_raters_have_answered_by_their_mean() -> None:
    made = prepared("base", "ppo", settings=SETTINGS.model_copy(update={"raters": 2}))
    a, b, c, d = made.units[:4]
    answers = [
        ranked(a, ">", "ada"), ranked(a, "<", "bob"),  # a half
        ranked(b, ">", "ada"), ranked(b, ">", "bob"),  # one
        ranked(c, ">", "ada"),  # not yet
        ranked(d, ">", "ada"), Answered(d.unit, "bob", None, {}),  # bob cannot tell: ada's counts
    ]  # fmt: skip
    found = come_to(made, answers)
    (pair,) = found.pairs
    assert pair.rate == betting_interval([0.5, 1.0, 1.0]) and pair.waiting == 17
    assert (pair.wins, pair.ties, pair.losses, found.cannot_judge, found.raters) == (5, 0, 1, 1, 2)
    # Raters shared two pairs that both could judge, and said the same of one.
    assert found.agreed == 0.5
    random.Random(1).shuffle(answers)
    assert come_to(made, answers).pairs == found.pairs


def test_what_nobody_can_judge_counts_for_nobody() -> None:
    made = prepared("base", "ppo")
    found = come_to(made, [Answered(u.unit, "ada", None, {}) for u in made.units])
    assert found.pairs[0].rate is None and found.pairs[0].unjudged == 20 and found.waiting == 0
    assert "not settled" in advice(found)


def test_scores_are_means_over_prompts_of_means_over_raters() -> None:
    made = prepared("base", "ppo", settings=SETTINGS.model_copy(update={"raters": 2}))
    one, other = (u for u in made.units if u.kind == "harmful") if False else made.units[:2]
    base, ppo = one.responses
    answers = [
        ranked(one, ">", "ada", scores={base: {"harmless": 1}, ppo: {"harmless": 5}}),
        ranked(one, ">", "bob", scores={base: {"harmless": 3}}),
        ranked(other, "=", "ada", scores={other.responses[0]: {"harmless": 5}}),
    ]
    scores = come_to(made, answers).scores
    # base: prompt one (1 + 3) / 2 = 2, prompt other 5: 3.5
    assert scores["base"]["harmless"][""].value == 3.5 and scores["base"]["harmless"][""].n == 2
    assert scores["ppo"]["harmless"][""].value == 5 and "helpful" not in scores["ppo"]
    assert scores["ppo"]["harmless"][one.kind].n == 1


def test_three_models_have_ratings_in_the_order_of_their_strength_and_share_the_error() -> None:
    made = prepared("base", "sft", "ppo", settings=SETTINGS.model_copy(update={"prompts": 36}))
    strength = {"base": 0, "sft": 1, "ppo": 2}
    rng = random.Random(3)
    answers = []
    for unit in made.units:
        better = strength[unit.models[1]] > strength[unit.models[0]]
        answers.append(ranked(unit, ">" if better != (rng.random() < 0.25) else "<"))
    found = come_to(made, answers)
    scores = {m: r.value for m, r in found.ratings.items()}
    assert scores["base"] < scores["sft"] < scores["ppo"] and sum(scores.values()) == pytest.approx(
        0, abs=1e-9
    )
    assert all(r.low < r.value < r.high for r in found.ratings.values())
    # 5% for three pairs together: 1 - 0.05 / 3 for each.
    assert found.level == pytest.approx(1 - 0.05 / 3)
    first = found.pairs[0]
    assert (
        first.rate is not None
        and first.rate.low < betting_interval([1] * first.wins + [0] * first.losses).low
    )
    assert Results.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "rating of ppo" in "\n".join(lines(found, names=True))


def test_advice_stops_when_settled_and_foretells_how_long_else() -> None:
    made = prepared("base", "ppo", settings=SETTINGS.model_copy(update={"prompts": 30}))
    assert advice(come_to(made, [])) == "Nobody has judged anything yet."
    one_sided = come_to(made, [ranked(u, ">") for u in made.units[:15]])
    assert one_sided.pairs[0].conclusion == "above" and advice(one_sided).startswith("Stop")
    leaning = come_to(made, [ranked(u, o) for u, o in zip(made.units, ">>>>>>><", strict=False)])
    assert (
        leaning.more
        and advice(leaning) == f"Go on: about {leaning.more} judgements more, if they are like those so far."
    )
    torn = come_to(made, [ranked(u, "><"[n % 2]) for n, u in enumerate(made.units[:20])])
    assert torn.more is None and "will hardly settle it" in advice(torn)


def test_without_names_nothing_tells_who_is_ahead() -> None:
    made = prepared("base", "ppo", settings=SETTINGS.model_copy(update={"prompts": 30}))
    ahead, behind = (
        lines(come_to(made, [ranked(u, order) for u in made.units[:25]]), names=False) for order in "><"
    )
    assert ahead == behind and any("Stop" in line for line in ahead)
    named = lines(come_to(made, [ranked(u, "<") for u in made.units[:25]]), names=True)
    assert any(line.startswith("base is preferred to ppo: ppo wins 0.0%") for line in named)


def test_partial_answers_say_nothing_of_the_pair() -> None:
    made = prepared("base", "ppo")
    unit = made.units[0]
    only_best = replace(ranked(unit, ">"), ranking=((unit.responses[0],),))
    assert come_to(made, [only_best]).pairs[0].unjudged == 1
