"""Splits: no prompt and no dialogue in two, the same every time, and shares that are met."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Message, Prompt
from tutelage.data.formats import parse_comparisons
from tutelage.data.judged import Judged
from tutelage.data.rows import Row
from tutelage.data.splits import split_comparisons, split_demonstrations, split_of


def judged(texts: list[str], **more: str) -> list[Judged]:
    values = [
        {"prompt": t, "chosen": f"good {n}", "rejected": f"bad {n}", **more} for n, t in enumerate(texts)
    ]
    return list(parse_comparisons(Row(v, "f", n) for n, v in enumerate(values)).records)


def test_shares_are_met_on_average() -> None:
    found = split_comparisons(judged([f"prompt {n}" for n in range(4000)]), 0.3, 0.2)
    for split, share in (("judge", 0.3), ("measure", 0.2), ("reward", 0.5)):
        seen = sum(one.judgement.split == split for one in found) / 4000
        assert abs(seen - share) < 4 * math.sqrt(share * (1 - share) / 4000)  # 4 standard errors


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.randoms())
def test_a_prompt_has_one_split_whatever_the_order(numbers: list[int], draw: random.Random) -> None:
    rows = judged([f"prompt {n}" for n in numbers])
    splits = {one.prompt.id: one.judgement.split for one in split_comparisons(rows, 0.3, 0.2)}
    draw.shuffle(rows)
    again = split_comparisons(rows[: len(rows) // 2 + 1], 0.3, 0.2)
    assert all(splits[one.prompt.id] == one.judgement.split == one.prompt.split for one in again)


def test_a_dialogue_at_several_turns_has_one_split() -> None:
    for n in range(50):
        start = Prompt.of(f"question {n}")
        later = Prompt((*start.messages, Message("assistant", "Yes."), Message("user", "And then?")))
        assert split_of(start, 0.3, 0.2) == split_of(later, 0.3, 0.2)


def test_a_stated_split_holds_for_its_prompt() -> None:
    stated = judged(["a", "b"], split="measure")
    found = split_comparisons([*judged(["b", "a", "c"]), *stated], 0.5, 0.01)
    assert [one.judgement.split for one in found[:2]] == ["measure", "measure"]
    assert found[3:] == stated  # and its id does not change with the split
    assert [one.judgement.id for one in found[3:]] == [one.judgement.id for one in stated]


def test_a_prompt_stated_in_two_splits_is_an_error() -> None:
    with pytest.raises(DataError, match="'a' stands in the splits 'judge' and 'reward'"):
        split_comparisons([*judged(["a"], split="judge"), *judged(["a"], split="reward")], 0.3, 0.2)


@pytest.mark.parametrize(
    ("count", "share", "validating"),
    [(100, 0.08, 8), (20, 0.01, 1), (2, 0.49, 1), (1, 0.3, 0), (50, 0.0, 0), (0, 0.1, 0)],
)
def test_demonstrations_validate_in_the_share_asked_for(count: int, share: float, validating: int) -> None:
    rows = [Demonstration(Prompt.of(f"prompt {n}"), "answer") for n in range(count)]
    training, validation = split_demonstrations(rows, share)
    assert len(validation) == validating and len(training) == count - validating
    assert sorted(training + validation, key=lambda d: rows.index(d)) == rows
    assert split_demonstrations(rows[::-1], share)[1] == validation[::-1]


def test_answers_to_one_prompt_stay_on_one_side() -> None:
    rows = [Demonstration(Prompt.of(f"prompt {n % 10}"), f"answer {n}") for n in range(100)]
    training, validation = split_demonstrations(rows, 0.3)
    assert len(validation) == 30  # 3 of 10 prompts, 10 answers each
    assert not {d.prompt.id for d in training} & {d.prompt.id for d in validation}
