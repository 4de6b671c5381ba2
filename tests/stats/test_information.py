"""Expected information against closed forms, and batches that spread over topics."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.stats.information import (
    expected_entropy,
    expected_information,
    ranking_information,
    spread_over_topics,
)


def entropy(p: float) -> float:
    return -p * log(p) - (1 - p) * log(1 - p)


def test_members_who_are_sure_of_opposite_answers_tell_a_whole_bit() -> None:
    found = expected_information([[800.0, 40.0], [-800.0, -40.0]])
    np.testing.assert_allclose(found, log(2), rtol=1e-12)


def test_members_who_agree_tell_nothing_however_close_the_call() -> None:
    d = [[0.0, 3.0, -700.0]] * 3
    np.testing.assert_allclose(expected_information(d), 0.0, atol=1e-15)
    # log 2 for an even call; sigmoid(3) = 0.952574
    np.testing.assert_allclose(
        expected_entropy(d), [log(2), entropy(0.9525741268224334), 0.0], rtol=1e-12, atol=1e-15
    )


def test_by_hand() -> None:
    # p = 0.8 and 0.4: mean 0.6
    d = [[log(4)], [log(2 / 3)]]
    wanted = entropy(0.6) - (entropy(0.8) + entropy(0.4)) / 2
    np.testing.assert_allclose(expected_information(d), [wanted], rtol=1e-12)


def test_it_is_the_mutual_information_of_the_joint_table() -> None:
    d = np.random.default_rng(0).normal(size=(5, 7)) * 3
    p = 1 / (1 + np.exp(-d))
    joint = np.stack([p, 1 - p]) / len(d)  # answer, member, pair
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    np.testing.assert_allclose(
        expected_information(d), (joint * np.log(joint / apart)).sum((0, 1)), rtol=1e-10
    )


def test_which_side_stands_first_plays_no_part() -> None:
    d = np.random.default_rng(1).normal(size=(4, 9))
    np.testing.assert_allclose(expected_information(d), expected_information(-d), rtol=1e-12)


def test_small_disagreement_has_the_variance_of_probabilities() -> None:
    # second order: I = p(1-p) Var(d) / 2, since H'' = -1 / (p (1 - p)) and dp = p (1 - p) dd
    step, at = 1e-3, 0.7
    p = 1 / (1 + np.exp(-at))
    found = expected_information([[at - step], [at + step]])
    np.testing.assert_allclose(found, p * (1 - p) * step**2 / 2, rtol=1e-4)


def test_a_ranking_is_the_mean_of_its_pairs() -> None:
    s = np.array([[0.0, 1.0, 3.0], [2.0, 0.5, 0.0]])
    pairs = np.stack([s[:, 0] - s[:, 1], s[:, 0] - s[:, 2], s[:, 1] - s[:, 2]], 1)
    assert ranking_information(s) == pytest.approx(expected_information(pairs).mean())
    assert ranking_information(s[:1]) == pytest.approx(expected_entropy(pairs[:1]).mean())


@pytest.mark.parametrize("bad", [[[np.nan, 1.0]], np.zeros((0, 2)), [1.0, 2.0], [[1.0]]])
def test_what_are_no_scores_is_said(bad) -> None:
    with pytest.raises(DataError):
        ranking_information(bad)


def test_without_strength_the_greatest_values_are_taken() -> None:
    assert spread_over_topics([1.0, 5.0, 3.0, 4.0], ["a", "a", "a", "b"], 3, 0.0) == [1, 3, 2]


def test_topics_of_equal_value_are_taken_in_turn() -> None:
    topics = ["a"] * 6 + ["b"] * 6
    taken = spread_over_topics([1.0] * 12, topics, 6, 1.0)
    assert [topics[i] for i in taken] == ["a", "b"] * 3


def test_numbers_follow_value_to_the_inverse_strength() -> None:
    topics = ["a"] * 900 + ["b"] * 900
    taken = spread_over_topics([2.0] * 900 + [1.0] * 900, topics, 500, 0.5)
    assert sum(topics[i] == "a" for i in taken) == pytest.approx(400, abs=1)  # 2 ^ 2 to 1


def test_what_was_asked_before_counts() -> None:
    assert spread_over_topics([1.0, 1.0], ["a", "b"], 1, 1.0, {"a": 3}) == [1]
    assert spread_over_topics([1.0, 1.0], ["a", "b"], 9, 1.0, {"a": 3}) == [1, 0]
