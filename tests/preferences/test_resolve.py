"""Resolving: votes by hand, and what must hold whatever raters say."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Judgement, RaterKind
from tutelage.preferences.resolve import resolve_comparisons, resolve_rankings


def judgement(
    ranking: Sequence[Sequence[str]],
    rater: str = "ana",
    prompt: str = "p",
    kind: RaterKind = "person",
    shown: str = "abcd",
    split: str = "",
) -> Judgement:
    return Judgement(prompt, tuple(shown), tuple(tuple(g) for g in ranking), rater, kind, split=split)


def told(found: Sequence[Comparison]) -> dict[tuple[str, str], tuple[float, float]]:
    return {(c.chosen, c.rejected): (c.preference, c.weight) for c in found}


def test_one_ranking_with_ties_implies_all_its_pairs() -> None:
    found = resolve_comparisons([judgement(["c", "ad", "b"])])
    assert told(found) == {
        ("c", "a"): (1.0, 1.0),
        ("c", "d"): (1.0, 1.0),
        ("c", "b"): (1.0, 1.0),
        ("a", "d"): (0.5, 1.0),  # tied: the lower id stands first
        ("a", "b"): (1.0, 1.0),
        ("d", "b"): (1.0, 1.0),
    }
    strict = told(resolve_comparisons([judgement(["c", "ad", "b"])], ties="leave_out"))
    assert strict == {pair: v for pair, v in told(found).items() if pair != ("a", "d")}


def test_unranked_responses_are_in_no_pair() -> None:
    assert set(told(resolve_comparisons([judgement(["d", "a"])]))) == {("d", "a")}


def test_several_raters_by_hand() -> None:
    said = [
        judgement(["a", "b"], "ana"),
        judgement(["a", "b"], "bo"),
        judgement(["b", "a"], "cy"),
        judgement(["ab"], "di"),
    ]
    # two votes for a, one for b, a tie that is half a vote each: 2.5 of 4
    (found,) = resolve_comparisons(said)
    assert (found.chosen, found.preference, found.weight) == ("a", 0.625, 4.0)
    assert set(found.judgement_ids) == {j.id for j in said}
    # cy counts three times: 2.5 against 3.5 of 6
    (found,) = resolve_comparisons(said, rater_weights={"cy": 3.0})
    assert (found.chosen, found.rejected, found.weight) == ("b", "a", 6.0)
    assert found.preference == pytest.approx(3.5 / 6)
    # a rater of weight 0 is not there at all
    assert resolve_comparisons(said, rater_weights={"cy": 0.0}) == resolve_comparisons([*said[:2], said[3]])


def test_a_judgement_that_comes_twice_counts_once() -> None:
    assert resolve_comparisons([judgement(["a", "b"])] * 2) == resolve_comparisons([judgement(["a", "b"])])


def test_weights_that_add_up_to_the_same_are_a_tie() -> None:
    said = [judgement(["a", "b"], "x"), judgement(["a", "b"], "y"), judgement(["b", "a"], "z")]
    weights = {"x": 0.1, "y": 0.2, "z": 0.3}  # 0.1 + 0.2 > 0.3 in floats
    (found,) = resolve_comparisons(said, rater_weights=weights)
    assert (found.chosen, found.preference) == ("a", 0.5)
    assert resolve_comparisons(said, rater_weights=weights, ties="leave_out") == []


def test_the_prior_gives_the_mean_of_the_posterior() -> None:
    said = [judgement(["a", "b"], r) for r in ("ana", "bo", "cy")] + [judgement(["b", "a"], "di")]
    for prior in (0.5, 1.0, 2.0):
        (found,) = resolve_comparisons(said, prior=prior)
        assert found.preference == pytest.approx(beta(3 + prior, 1 + prior).mean())
        assert found.weight == 4.0  # pseudo-votes are no certainty
    (lone,) = resolve_comparisons(said[:1], prior=1.0)
    assert lone.preference == pytest.approx(2 / 3)


def test_preference_and_weight_keep_the_likelihood_of_the_votes() -> None:
    """Sum over votes of log sigmoid(+-margin) = weight x cross-entropy of preference, at any margin."""
    draw = random.Random(1)
    said = [judgement(["a", "b"] if draw.random() < 0.7 else ["b", "a"], f"r{n}") for n in range(25)]
    (found,) = resolve_comparisons(said)
    for margin in (-2.0, -0.3, 0.0, 1.1):
        log_p = -np.logaddexp(0, -margin)
        log_q = -np.logaddexp(0, margin)
        votes = sum(log_p if j.ranking[0][0] == found.chosen else log_q for j in said)
        kept = found.weight * (found.preference * log_p + (1 - found.preference) * log_q)
        assert kept == pytest.approx(votes)


def test_models_count_only_when_asked_for() -> None:
    person, model = judgement(["a", "b"]), judgement(["b", "a"], "gpt", kind="ai")
    assert told(resolve_comparisons([person, model])) == {("a", "b"): (1.0, 1.0)}
    assert told(resolve_comparisons([person, model], kinds=("person", "ai"))) == {("a", "b"): (0.5, 2.0)}
    for resolve in (resolve_comparisons, resolve_rankings):
        with pytest.raises(DataError, match=r"none of 1 judgements counts: they are by gpt \(ai\)"):
            resolve([model])
        assert resolve([]) == []


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_that_is_none_is_an_error(weight: float) -> None:
    with pytest.raises(DataError, match="the weight of rater 'ana' is"):
        resolve_rankings([judgement(["a", "b"])], rater_weights={"ana": weight})
    with pytest.raises(DataError, match="prior"):
        resolve_comparisons([judgement(["a", "b"])], prior=weight)


def test_the_split_is_kept_and_may_not_differ_in_a_prompt() -> None:
    said = [judgement(["a", "b"], split="judge"), judgement(["a", "b"], prompt="q", split="reward")]
    assert {c.prompt_id: c.split for c in resolve_comparisons(said)} == {"p": "judge", "q": "reward"}
    assert {r.prompt_id: r.split for r in resolve_rankings(said)} == {"p": "judge", "q": "reward"}
    clash = [*said, judgement(["b", "a"], "bo", split="reward")]
    for resolve in (resolve_comparisons, resolve_rankings):
        with pytest.raises(DataError, match="the prompt p has judgements in the splits"):
            resolve(clash)


def test_rankings_of_raters_who_agree_become_one() -> None:
    said = [
        judgement(["c", "ad", "b"], "ana"),
        judgement(["c", "da", "b"], "bo"),  # the same tie group, told in another order
        judgement(["c", "a", "d", "b"], "cy"),
        judgement(["a"], "di"),  # says nothing
    ]
    found = resolve_rankings(said, rater_weights={"bo": 2.5})
    assert {(r.groups, r.weight, len(r.judgement_ids)) for r in found} == {
        ((("c",), ("a", "d"), ("b",)), 3.5, 2),
        ((("c",), ("a",), ("d",), ("b",)), 1.0, 1),
    }
    assert not any(said[3].id in r.judgement_ids for r in found)


@st.composite
def judgements(draw: st.DrawFn) -> list[Judgement]:
    made = []
    for _ in range(draw(st.integers(1, 6))):
        ranks = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))
        kept = draw(st.integers(1, 4))
        groups = [
            [r for r, k in zip("abcd"[:kept], ranks) if k == rank] for rank in sorted(set(ranks[:kept]))
        ]
        made.append(
            judgement(groups, draw(st.sampled_from(["ana", "bo", "cy"])), draw(st.sampled_from("pq")))
        )
    return made


@given(judgements(), st.randoms())
def test_the_order_of_judgements_changes_nothing(said: list[Judgement], draw: random.Random) -> None:
    weights = {"ana": 0.3, "bo": 1.7}
    comparisons = resolve_comparisons(said, rater_weights=weights)
    rankings = resolve_rankings(said, rater_weights=weights)
    draw.shuffle(said)
    again = resolve_comparisons(said, rater_weights=weights)
    assert again == comparisons and [c.id for c in again] == [c.id for c in comparisons]
    assert [r.id for r in resolve_rankings(said, rater_weights=weights)] == [r.id for r in rankings]


@given(judgements())
def test_every_pair_once_never_with_itself_and_traceable(said: list[Judgement]) -> None:
    given_ids = {j.id: j for j in said}
    found = resolve_comparisons(said)
    pairs = [(c.prompt_id, frozenset((c.chosen, c.rejected))) for c in found]
    assert all(len(pair) == 2 for _, pair in pairs) and len(set(pairs)) == len(pairs)
    for c in found:
        assert 0.5 <= c.preference <= 1.0
        behind = [given_ids[i] for i in c.judgement_ids]
        assert c.weight == len(behind)
        assert all({c.chosen, c.rejected} <= set(itertools.chain(*j.ranking)) for j in behind)
        assert all(j.prompt_id == c.prompt_id for j in behind)
    # a pair is missing only where nobody ranked both
    ranked = {
        (j.prompt_id, frozenset(pair))
        for j in given_ids.values()
        for pair in itertools.combinations(itertools.chain(*j.ranking), 2)
    }
    assert ranked == set(pairs)


@given(judgements())
def test_ranking_backwards_swaps_every_comparison(said: list[Judgement]) -> None:
    backwards = [judgement(j.ranking[::-1], j.rater, j.prompt_id) for j in said]

    def shares(found: list[Comparison]) -> dict[tuple[str, str, str], float]:
        both = [*found, *(c.swap() for c in found)]
        return {(c.prompt_id, c.chosen, c.rejected): c.preference for c in both}

    # the same judgement said twice counts once, forwards and backwards alike
    forwards, turned = shares(resolve_comparisons(said)), shares(resolve_comparisons(backwards))
    assert turned == pytest.approx({key: 1.0 - share for key, share in forwards.items()})


@given(st.permutations("abcd"))
def test_one_raters_comparisons_are_transitive(order: list[str]) -> None:
    above = set(told(resolve_comparisons([judgement([[r] for r in order])])))
    assert len(above) == 6
    assert all((x, z) in above for x, y in above for w, z in above if y == w)
    wins = {r: sum(pair[0] == r for pair in above) for r in order}
    assert [wins[r] for r in order] == [3, 2, 1, 0]
