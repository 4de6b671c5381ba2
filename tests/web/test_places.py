"""Places: every gesture against what it should leave, and what no gesture may ever break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.web.widgets.places import Places, in_words, summary

KEYS = ("A", "B", "C", "D")


def places(text: str) -> Places:
    """`"B > A = D"` as places; what is not named has none."""
    made = Places(KEYS)
    for place, group in enumerate(filter(None, text.split(" > ")), start=1):
        for key in group.split(" = "):
            made = made.put(key, place)
    return made


def shown(made: Places) -> str:
    return summary(made).replace("›", ">")


def test_the_same_place_twice_is_a_tie_and_gaps_close() -> None:
    made = Places(KEYS).put("B", 1).put("D", 3).put("A", 3)
    assert made.groups == (("B",), ("A", "D"))
    assert made.given["D"] == 3  # the number that was given stays until something moves
    assert made.unplaced == ("C",)


def test_a_place_given_again_is_taken_back() -> None:
    made = places("A > B").toggle("A", 1)
    assert shown(made) == "B"
    assert shown(made.toggle("A", 2)) == "A = B"


def test_what_is_not_there_changes_nothing() -> None:
    made = places("A > B")
    assert made.put("Z", 1) == made.put("A", 0) == made.put("A", 5) == made.up("Z") == made


@pytest.mark.parametrize(
    ("before", "key", "up", "down"),
    [
        ("A > B > C", "B", "B > A > C", "A > C > B"),
        ("A > B = C > D", "C", "A > C > B > D", "A > B > C > D"),
        ("A > B", "A", "A > B", "B > A"),
    ],
)
def test_steps_leave_a_tie_or_pass_a_neighbour(before: str, key: str, up: str, down: str) -> None:
    assert shown(places(before).up(key)) == up
    assert shown(places(before).down(key)) == down


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("A > B > C", "B", "A = B > C"),
        ("A = B > C", "B", "A > B > C"),
        ("A = B > C", "A", "B > A > C"),
        ("A > B", "A", "A > B"),
        ("A > B", "C", "A > B"),
    ],
)
def test_tie_joins_the_one_above_or_ends(before: str, key: str, after: str) -> None:
    assert shown(places(before).tie(key)) == after


@pytest.mark.parametrize(
    ("before", "key", "order", "after"),
    [
        ("A > B", "C", "ACB", "A > C > B"),
        ("A > B", "C", "CAB", "C > A > B"),
        ("A > B", "C", "ABC", "A > B > C"),
        ("A = B > D", "C", "ACBD", "A = B = C > D"),
        ("A = B > D", "C", "ABCD", "A = B > C > D"),
        ("A = B > D", "D", "ADB", "A = B = D"),
        ("A = B > D", "A", "BAD", "B > A > D"),
        ("A > B", "B", "A", "A"),
        ("", "B", "B", "B"),
    ],
)
def test_a_drop_between_tied_ones_joins_them(before: str, key: str, order: str, after: str) -> None:
    assert shown(places(before).drop(key, list(order))) == after


def test_best_only_and_worst_only() -> None:
    assert shown(places("C").rest_below()) == "C > A = B = D"
    assert shown(places("C").rest_above()) == "A = B = D > C"
    assert places("A > B > C > D").rest_below() == places("A > B > C > D")


def test_words_for_a_screen_reader() -> None:
    made = places("B > A = D")
    assert in_words(made, "D") == "D, place 2 of 2, tied with A"
    assert in_words(made, "B") == "B, place 1 of 2"
    assert in_words(made, "C") == "C, not placed"


def test_a_draft_is_not_believed() -> None:
    saved = {"A": 1, "B": 9, "C": "2", "Z": 1, "D": 0}
    assert Places.read(KEYS, saved).given == {"A": 1}
    assert Places.read(KEYS, ["A"]).given == {}


GESTURES = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 5)),
    st.tuples(st.just("toggle"), st.sampled_from(KEYS), st.integers(1, 4)),
    st.tuples(st.sampled_from(["append", "take", "up", "down", "tie"]), st.sampled_from(KEYS)),
    st.tuples(st.sampled_from(["rest_below", "rest_above"])),
    st.tuples(st.just("drop"), st.sampled_from(KEYS), st.permutations(KEYS)),
)


@given(st.lists(GESTURES, max_size=25))
def test_whatever_is_done_every_response_is_there_once(gestures: list[tuple[object, ...]]) -> None:
    made = Places(KEYS)
    for name, *args in gestures:
        if name == "drop":
            key, order = args
            args = [key, [k for k in order if k in made.given or k == key]]  # type: ignore[attr-defined]
        made = getattr(made, str(name))(*args)
        assert sorted((*made.ranked, *made.unplaced)) == list(KEYS)
        assert all(made.groups) and len(set(made.ranked)) == len(made.ranked)
        assert Places.read(KEYS, dict(made.given)) == made
