"""How many prompts of each category an online method is given."""

from __future__ import annotations

from collections import Counter

import pytest

from tutelage.core.errors import DataError, RecipeError
from tutelage.core.recipe import parse_recipe
from tutelage.core.records import Prompt
from tutelage.pipeline.stages.asked import balanced, require_shares, split_prompts

PROMPTS = [Prompt.of(f"{category} {n}", category=category) for category, many in
           (("harmful", 10), ("plain", 30), ("honest", 30)) for n in range(many)]  # fmt: skip


def counts(shares: dict[str, float], seed: int = 1) -> Counter[str]:
    return Counter(p.category for p in balanced(PROMPTS, shares, seed))


def test_without_shares_all_prompts_are_as_they_come() -> None:
    assert balanced(PROMPTS, {}, 1) == PROMPTS


def test_a_share_is_met_and_the_rest_keeps_its_balance() -> None:
    # 60 others are three quarters of 80, so 20 harmful ones are the other quarter: each of the ten twice
    assert counts({"harmful": 0.25}) == {"plain": 30, "honest": 30, "harmful": 20}
    twice = Counter(p.text for p in balanced(PROMPTS, {"harmful": 0.25}, 1) if p.category == "harmful")
    assert set(twice.values()) == {2}
    # 30 others are half of 60: 6 harmful ones (a tenth) and 24 plain ones (four tenths)
    assert counts({"harmful": 0.1, "plain": 0.4}) == {"honest": 30, "harmful": 6, "plain": 24}


def test_which_ones_depends_on_the_seed_alone() -> None:
    few = {"plain": 0.1}
    assert balanced(PROMPTS, few, 1) == balanced(PROMPTS, few, 1) != balanced(PROMPTS, few, 2)


@pytest.mark.parametrize(
    ("shares", "said"),
    [({"harmful": 0.5, "plain": 0.5}, "leaves nothing"), ({"rude": 0.1}, "'rude'")],
)
def test_shares_that_cannot_be_met_are_refused(shares: dict[str, float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        balanced(PROMPTS, shares, 1)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused_before_anything_loads(share: float) -> None:
    with pytest.raises(RecipeError, match="category_shares.harmful"):
        parse_recipe({"name": "x", "ppo": {"category_shares": {"harmful": share}}}, "recipe")


def test_shares_are_asked_for_when_the_data_come_in() -> None:
    recipe = parse_recipe({"name": "x", "ppo": {"category_shares": {"rude": 0.2}}}, "recipe")
    with pytest.raises(DataError, match=r"ppo.category_shares names 'rude'.*harmful, honest, plain"):
        require_shares(recipe, PROMPTS)
    require_shares(parse_recipe({"name": "x", "policies": ["dpo"]}, "recipe"), PROMPTS)


def test_a_prompt_that_is_held_out_is_not_asked_again() -> None:
    some, held_out = split_prompts(PROMPTS, 16, 3)
    assert len(held_out) == 16 and {p.category for p in held_out} >= {"harmful"}
    assert not set(balanced(some, {"harmful": 0.5}, 3)) & set(held_out)
