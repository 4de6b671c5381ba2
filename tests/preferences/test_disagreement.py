"""Disagreement by prompt and by group, planted and by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.core.records import Judgement
from tutelage.preferences.disagreement import by_group, by_prompt, divided

NAMES = "abcd"


def say(rater: str, prompt: str, groups: Sequence[str]) -> Judgement:
    return Judgement(
        prompt,
        tuple(f"{prompt}{n}" for n in NAMES),
        tuple(tuple(f"{prompt}{n}" for n in g) for g in groups),
        rater,
    )


def test_prompts_by_hand() -> None:
    said = [
        say("ann", "p", "abcd"),
        say("ben", "p", "abdc"),
        say("cy", "p", "abcd"),
        say("ann", "q", ["ab", "c"]),
        say("ben", "q", ["b", "a", "c"]),
        say("ann", "r", "abcd"),
    ]
    hard, easy = by_prompt(said)
    # p: of 6 pairs ann and cy agree on 6, each with ben on 5; they differ about c and d
    assert (easy.prompt_id, easy.raters) == ("p", 3)
    assert easy.agreement == pytest.approx((6 + 5 + 5) / 18)
    assert easy.split == ("pc", "pd", pytest.approx(2 / 3))
    # q: both order 3 pairs alike but for a tie against a preference, which counts half
    assert (hard.prompt_id, hard.raters, hard.agreement) == ("q", 2, pytest.approx(2.5 / 3))
    assert hard.split == ("qa", "qb", pytest.approx(0.25))
    assert [one.prompt_id for one in by_prompt(said, without=["ben"])] == ["p"]
    with pytest.raises(DataError, match="no judgement"):
        by_prompt(said, kinds=("ai",))


def crowd(divide: bool, seed: int = 0) -> tuple[list[Judgement], dict[str, dict[str, str]]]:
    """12 raters in two languages; if they divide, each language has a truth of its own on every prompt."""
    generator = np.random.default_rng(seed)
    groups = {f"rater-{i}": {"language": "de" if i % 2 else "fr", "shift": "ab"[i // 6]} for i in range(12)}
    groups["rater-0"].pop("shift")
    said = []
    for prompt in range(60):
        truth = {"de": generator.normal(size=4)}
        truth["fr"] = generator.normal(size=4) if divide else truth["de"]
        for k in generator.choice(12, size=6, replace=False):
            rater = f"rater-{k}"
            order = np.argsort(-(truth[groups[rater]["language"]] + 0.5 * generator.normal(size=4)))
            said.append(say(rater, f"p{prompt}", [NAMES[i] for i in order]))
    return said, groups


def test_groups_that_divide_are_told_from_groups_that_do_not() -> None:
    said, groups = crowd(divide=True)
    language, shift = by_group(said, groups)
    assert (language.attribute, shift.attribute) == ("language", "shift")
    assert language.same.low > language.different.high
    assert language.different.value == pytest.approx(0.5, abs=0.06)
    assert language.p_value is not None and language.p_value < 0.01
    assert shift.p_value is not None and shift.p_value > 0.05
    assert set(language.between) == {("de", "de"), ("de", "fr"), ("fr", "fr")}
    # every meeting of two who have the attribute is in one cell, four responses being six pairs
    assert sum(cell.n for cell in language.between.values()) == 60 * 15 * 6
    assert language.same.n + language.different.n == 60 * 15 * 6
    assert shift.same.n + shift.different.n < 60 * 15 * 6
    found = divided(said, groups, "language")
    assert found[0].gap == 1.0
    assert all(count >= 2 for one in found for _, count in one.shares.values())
    assert [one.gap for one in found] == sorted((one.gap for one in found), reverse=True)


def test_groups_alike() -> None:
    said, groups = crowd(divide=False)
    language = by_group(said, groups)[0]
    assert language.p_value is not None and language.p_value > 0.05
    assert language.same.low < language.different.value < language.same.high
    divides, _ = crowd(divide=True)
    assert len(divided(said, groups, "language")) < 0.3 * len(divided(divides, groups, "language"))


def test_an_attribute_that_all_share_has_no_test() -> None:
    said, _ = crowd(divide=True)
    (only,) = by_group(said, {f"rater-{i}": {"team": "one"} for i in range(12)})
    assert only.p_value is None and only.different.n == 0 and only.same.n == 60 * 15 * 6
    assert by_group(said, {}) == []
