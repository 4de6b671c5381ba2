"""What is lost and what is doubled is counted as by hand, and the percentile is one of the values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.claims.people.ledger import (
    Given,
    Kept,
    KeptTask,
    Ledger,
    doubled,
    lost,
    lost_drafts,
    open_drafts,
    percentile,
)

ADA, BOB = Given("Ada", (("a",), ("b",))), Given("Bob", (("b",), ("a",)))
THERE = Kept(
    {"1": KeptTask("Ada", True, ADA.ranking), "2": KeptTask("Bob", True, BOB.ranking)}, {}, [ADA, BOB]
)


def both() -> Ledger:
    return Ledger(sent={"1": ADA, "2": BOB}, acknowledged={"1", "2"})


def with_task(name: str, task: KeptTask | None) -> Kept:
    tasks = {**THERE.tasks, name: task}
    return replace(THERE, tasks={name: one for name, one in tasks.items() if one is not None})


def test_nothing_is_lost_where_all_is_there() -> None:
    assert lost(both(), THERE) == [] and doubled(both(), THERE) == 0


@pytest.mark.parametrize(
    "there",
    [
        None,
        KeptTask("Ada", False, ADA.ranking),
        KeptTask("Bob", True, ADA.ranking),
        KeptTask("Ada", True, (("b",), ("a",))),
        KeptTask("Ada", True, None),
    ],
    ids=["gone", "open", "another rater's", "another ranking", "no judgement"],
)
def test_an_acknowledged_ranking_that_is_not_there_as_it_was_sent_is_lost(there: KeptTask | None) -> None:
    assert lost(both(), with_task("1", there)) == ["1"]


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    ledger = replace(both(), acknowledged={"2"})
    assert lost(ledger, with_task("1", None)) == []
    assert doubled(ledger, THERE) == 0


def test_doubled_are_judgements_beyond_one_a_ranking_and_those_that_nobody_sent() -> None:
    twice = replace(THERE, judgements=[ADA, replace(ADA, ranking=(("b",), ("a",))), BOB])  # her two answers
    assert doubled(both(), twice) == 1
    stranger = replace(THERE, judgements=[ADA, BOB, Given("Cy", ADA.ranking)])
    assert doubled(both(), stranger) == 1
    assert doubled(both(), replace(THERE, judgements=[ADA, ADA, ADA, BOB, BOB])) == 3


def test_a_draft_may_be_replaced_by_a_later_one_and_by_the_ranking_and_by_nothing_else() -> None:
    ledger = Ledger()
    ledger.know_draft("1", ledger.send_draft("1", {"places": 1}))
    ledger.know_draft("1", ledger.send_draft("1", {"places": 2}))
    ledger.send_draft("1", {"places": 3})  # never acknowledged
    open_task = {"1": KeptTask("Ada", False, None)}
    for number, gone in ((1, ["1"]), (2, []), (3, [])):
        kept = Kept(open_task, {"1": {"places": number}}, [])
        assert lost_drafts(ledger, kept) == gone and open_drafts(ledger, kept) == 1
    assert lost_drafts(ledger, Kept(open_task, {}, [])) == ["1"]
    done = Kept({"1": KeptTask("Ada", True, ADA.ranking)}, {}, [ADA])
    assert lost_drafts(ledger, done) == ["1"]  # done, and she never handed it in
    ledger.sent["1"] = ADA
    assert lost_drafts(ledger, done) == [] and open_drafts(ledger, done) == 0


def test_the_percentile_by_hand() -> None:
    hundred = [float(n) for n in range(100, 0, -1)]
    assert percentile(hundred, 0.95) == 95.0 and percentile(hundred, 0.5) == 50.0
    assert percentile([3.0, 1.0], 0.95) == 3.0 and percentile([7.0], 0.95) == 7.0
    assert percentile(hundred, 1.0) == 100.0 and percentile(hundred, 0.0) == 1.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.95)
