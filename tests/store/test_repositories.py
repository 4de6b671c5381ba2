"""Repositories: what goes in comes out, adding twice is adding once, and filters select."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.records import Artifact, Demonstration, Judgement, Message, Prompt, Response
from tutelage.store.database import Database
from tutelage.store.records import Records


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    with Database.open("sqlite:///shared.db", tmp_path_factory.mktemp("db")) as db:
        yield Records(db)


@pytest.fixture
def records(database_url: str, tmp_path: Path) -> Iterator[Records]:
    with Database.open(database_url, tmp_path) as db:
        yield Records(db)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    texts=st.lists(TEXT, min_size=1, max_size=5, unique=True),
    cuts=st.lists(st.booleans(), min_size=5, max_size=5),
    reason=TEXT,
    seconds=st.none() | st.floats(0, 1e6),
)
@settings(max_examples=30, deadline=None)
def test_judgements_with_any_ties_come_back(
    shared: Records, texts: list[str], cuts: list[bool], reason: str, seconds: float | None
) -> None:
    prompt = Prompt((Message("user", texts[0]), Message("assistant", reason), Message("user", "and?")))
    responses = [Response(prompt.id, t, "sft", {"temperature": 0.7}) for t in texts]
    groups: list[list[str]] = [[]]
    for response, cut in zip(responses, cuts, strict=False):
        if cut and groups[-1]:
            groups.append([])
        groups[-1].append(response.id)
    shown = tuple(r.id for r in reversed(responses))
    ranking = tuple(tuple(g) for g in groups)
    said = Judgement(prompt.id, shown, ranking, "ann", reason=reason, seconds=seconds, scores={"honest": 4})
    shared.prompts.add([prompt])
    shared.responses.add(responses)
    shared.judgements.add([said])
    assert shared.prompts.get(prompt.id) == prompt
    assert shared.judgements.get(said.id) == said
    assert all(shared.responses.get(r.id) == r for r in responses)


def test_adding_twice_is_adding_once(records: Records) -> None:
    prompts = [Prompt.of(f"question {i}") for i in range(1201)]  # more than two chunks
    assert records.prompts.add(prompts) == 1201
    assert records.prompts.add([*prompts, Prompt.of("a new one"), prompts[0]]) == 1
    assert records.prompts.count() == 1202


def test_what_is_not_identity_is_freshened_but_never_emptied(records: Records) -> None:
    records.prompts.add([Prompt.of("hi", source="pack:starter", split="train")])
    records.prompts.add([Prompt.of("hi", category="greeting", split="validation")])
    expected = Prompt.of("hi", source="pack:starter", category="greeting", split="validation")
    assert records.prompts.list() == [expected]


def test_demonstrations_bring_their_prompts(records: Records) -> None:
    train = Demonstration(Prompt.of("2+2?", split="train", source="a"), "4", author="ann")
    held = Demonstration(Prompt.of("3+3?", split="validation", source="a"), "6")
    assert records.demonstrations.add([train, held]) == 2
    assert records.demonstrations.list(split="train") == [train]
    assert records.demonstrations.count(source="a") == 2
    assert records.prompts.get(held.prompt.id) == held.prompt
    again = dataclasses.replace(train, author="bob")
    assert again.id == train.id and records.demonstrations.add([again]) == 0
    assert records.demonstrations.get(train.id) == again


def test_filters_combine_and_order_is_by_id(records: Records) -> None:
    prompts = [Prompt.of(str(i), source="ab"[i % 2], split="xyz"[i % 3]) for i in range(12)]
    records.prompts.add(prompts)
    wanted = sorted((p for p in prompts if p.source == "a" and p.split == "x"), key=lambda p: p.id)
    assert list(records.prompts.list(source="a", split="x")) == wanted
    assert len(wanted) == 2  # i = 0 and 6
    with pytest.raises(TypeError, match="no column 'colour'"):
        records.prompts.list(colour="red")


def test_artifacts_come_back_with_what_is_not_identity(records: Records) -> None:
    planned = Artifact("sft", {"data": "d"}, {"sft": {"epochs": 2}}, 17, "0.1.0")
    done = dataclasses.replace(planned, code="abc", metrics={"loss": 1.5}, files={"a": "f"}, seconds=3.5)
    records.artifacts.add([planned])
    assert records.artifacts.add([done]) == 0
    assert records.artifacts.get(planned.id) == done
    assert records.artifacts.get("none") is None
