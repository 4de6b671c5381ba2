"""Records: the same thing has the same name, nothing is lost on the way to JSON, rankings are checked."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.core.records import Artifact, Comparison, Demonstration, Judgement, Message, Prompt, Response

WORDS = st.text(max_size=30)


def test_an_id_depends_on_what_is_said_alone() -> None:
    one = Prompt.of("How are you?", source="a", category="x", split="train")
    two = Prompt.of("How are you?", source="b")
    assert one.id == two.id != Prompt.of("How are you").id
    assert Demonstration(one, "Well.").id == Demonstration(two, "Well.", author="z").id
    assert Demonstration(one, "Well.").id != Demonstration(one, "Bad.").id


def test_ids_do_not_change_between_versions() -> None:
    """Stored artifacts and databases refer to them: a change here breaks every project."""
    # the first 16 digits of: printf 'prompt\\n{"messages":[{"content":"hi","role":"user"}]}' | sha256sum
    assert Prompt.of("hi").id == "9a623b53c9f421b4"


@given(WORDS, WORDS, WORDS)
def test_json_and_back(asked: str, said: str, name: str) -> None:
    prompt = Prompt((Message("system", name), Message("user", asked)), source=name)
    response = Response(prompt.id, said, name, {"temperature": 0.5})
    judgement = Judgement(prompt.id, ("a", "b", "c"), (("b",), ("a", "c")), name, reason=said, seconds=1.5)
    for record in (prompt, response, Demonstration(prompt, said), judgement):
        again = type(record).from_dict({"id": record.id, **record.to_dict()})
        assert again == record and again.id == record.id


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(DataError, match="no field 'mesages'"):
        Prompt.from_dict({"mesages": []})
    with pytest.raises(DataError, match="needs the field 'messages'"):
        Prompt.from_dict({})


@pytest.mark.parametrize(
    ("ranking", "words"),
    [
        ((), "empty"),
        ((("a",), ()), "empty tie group"),
        ((("a",), ("a",)), "twice"),
        ((("z",),), "not shown"),
    ],
)
def test_a_ranking_that_makes_no_sense_is_refused(ranking: tuple[tuple[str, ...], ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Judgement("p", ("a", "b"), ranking, "rater")


def test_swapping_a_comparison_twice_gives_it_back() -> None:
    comparison = Comparison("p", "a", "b", ("j",), preference=0.75, weight=2.0)
    swapped = comparison.swap()
    assert (swapped.chosen, swapped.rejected, swapped.preference) == ("b", "a", 0.25)
    assert swapped.swap() == comparison


def test_an_artifact_is_named_before_it_is_made() -> None:
    planned = Artifact("sft", {"data": "x"}, {"sft": {"epochs": 2}}, 17, "0.1.0")
    made = dataclasses.replace(planned, metrics={"loss": 1.0}, seconds=3.0, code="abc", finished="now")
    assert made.id == planned.id
    assert dataclasses.replace(planned, seed=18).id != planned.id
    assert dataclasses.replace(planned, inputs={"data": "y"}).id != planned.id
