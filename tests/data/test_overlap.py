"""Overlaps: against a slow search that compares every pair, and on pairs whose scores are worked by hand."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data.overlap import CONTAINMENT, JACCARD, Overlap, normalised, overlaps_between, overlaps_within


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("How do I  BOIL an egg?", "how do i boil an egg"),
        ("Don't, won\u2019t!", "dont wont"),
        ("snake_case-and/or", "snake case and or"),
        ("\uff28\uff49 Stra\u00dfe", "hi strasse"),  # full-width letters, sharp s
        ("?!", "?!"),
    ],
)
def test_normalised(text: str, same: str) -> None:
    assert normalised(text) == same


def test_kinds_of_overlap_by_hand() -> None:
    ours = [
        "What is the capital of France?",
        "What is the capital of Spain?",
        "what is the capital of france",
        "one two three four five six seven eight nine ten",
        "one two three four five six seven eight nine zen",
        "Please answer: one two three four five six seven eight nine ten, and say why you think so",
        "What is the capital of France?",
    ]
    found = overlaps_within(ours)
    assert [(o.left, o.right, o.kind) for o in found] == [
        (0, 2, "normalised"),
        (0, 6, "exact"),
        # 8 trigrams each, 7 shared: Jaccard 7 / 9; their 6 five-grams share 5: containment 5 / 6
        (3, 4, "near"),
        # all 6 five-grams of the shorter one lie in the longer one
        (3, 5, "near"),
        # 5 of 6 five-grams
        (4, 5, "near"),
    ]
    assert [o.score for o in found[2:]] == pytest.approx([5 / 6, 1.0, 5 / 6])
    # France and Spain: 4 trigrams each, 3 shared, Jaccard 3 / 5 is below 0.7, and that is right
    assert not any({o.left, o.right} == {0, 1} for o in found)


def test_between_sets() -> None:
    left = ["fresh", "How do I boil an egg?", "how do i boil an egg", "how do you boil eggs"]
    right = ["other", "How do I boil an egg?", "HOW DO I BOIL AN EGG"]
    assert overlaps_between(left, right) == [Overlap(1, 1, "exact", 1.0), Overlap(2, 1, "normalised", 1.0)]
    assert overlaps_between(left, []) == [] and overlaps_between([], right) == []
    shared = "tell me in a few plain words why the sea is salty"
    assert overlaps_between([shared], [f"{shared} today"], near=False) == []
    ((a, b, kind, _),) = overlaps_between([f"so {shared}"], ["none", f"{shared} today"])
    assert (a, b, kind) == (0, 1, "near")


def grams(text: str, size: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)}


def slow_near(texts: list[str]) -> dict[tuple[int, int], float]:
    """Every pair of different texts, by the definition in the module's docstring."""
    found: dict[tuple[int, int], float] = {}
    for a in range(len(texts)):
        for b in range(a + 1, len(texts)):
            if texts[a] == texts[b]:
                continue
            x, y = grams(texts[a], 5), grams(texts[b], 5)
            scores = []
            if min(len(x), len(y)) >= 4 and len(x & y) / min(len(x), len(y)) >= CONTAINMENT:
                scores.append(len(x & y) / min(len(x), len(y)))
            x, y = grams(texts[a], 3), grams(texts[b], 3)
            if x and y and len(x & y) / len(x | y) >= JACCARD:
                scores.append(len(x & y) / len(x | y))
            if scores:
                found[a, b] = max(scores)
    return found


vocabulary = st.sampled_from(["a", "b", "c", "d"])
sentence = st.lists(vocabulary, min_size=0, max_size=14).map(" ".join)


@given(st.lists(sentence, max_size=12, unique=True))
def test_prefix_filtering_finds_what_the_slow_search_finds(texts: list[str]) -> None:
    found = {(o.left, o.right): o.score for o in overlaps_within(texts) if o.kind == "near"}
    assert found == pytest.approx(slow_near(texts))


@given(st.lists(sentence, max_size=6, unique=True), st.lists(sentence, max_size=6, unique=True))
def test_between_is_the_part_of_within_that_crosses(left: list[str], right: list[str]) -> None:
    right = [text for text in right if text not in left]
    crossing = {
        (a, b - len(left)): score for (a, b), score in slow_near(left + right).items() if a < len(left) <= b
    }
    found = {(o.left, o.right): o.score for o in overlaps_between(left, right)}
    assert found == pytest.approx(crossing)
    other_way = {(o.right, o.left): o.score for o in overlaps_between(right, left)}
    assert other_way == pytest.approx(crossing)


def test_planted_copies_are_found_among_many_and_fast() -> None:
    """10,000 prompts that all begin alike, 50 of them copied with two words in front: only those are near."""
    draw = random.Random(3)
    texts = [
        "please tell me what you think about " + " ".join(f"w{draw.randrange(4000)}" for _ in range(12))
        for _ in range(10_000)
    ]
    copied = draw.sample(range(len(texts)), 50)
    started = time.process_time()
    found = overlaps_within(texts + [f"well now {texts[n]}" for n in copied])
    assert time.process_time() - started < 10
    assert [(o.left, o.right - len(texts)) for o in found] == sorted(
        (n, place) for place, n in enumerate(copied)
    )
