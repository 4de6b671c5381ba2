"""Which prompts an online method is given: some held out to look at, the others in the balance asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tutelage.core.errors import DataError
from tutelage.core.method_settings import OnlineSettings
from tutelage.core.methods import METHODS
from tutelage.core.recipe import Recipe
from tutelage.core.records import Prompt
from tutelage.training.loop import permutation


def require_shares(recipe: Recipe, prompts: Sequence[Prompt]) -> None:
    """Raise `DataError` if a policy of the recipe wants shares that these prompts cannot make up.

    Asked when the data come in, so that nobody trains for an hour before hearing of it.
    """
    for name in recipe.policies:
        settings = getattr(recipe, METHODS[name].group)
        if isinstance(settings, OnlineSettings):
            _require(settings.category_shares, prompts, f"{METHODS[name].group}.category_shares")


def _require(shares: Mapping[str, float], prompts: Iterable[Prompt], where: str) -> None:
    there = {p.category for p in prompts}
    if missing := sorted(shares.keys() - there):
        known = ", ".join(sorted(there - {""})) or "none is named"
        raise DataError(
            f"{where} names '{missing[0]}', and no prompt to train on is of that category (there: {known}): "
            f"say {where}={{}}, or add such prompts"
        )
    if shares and (sum(shares.values()) >= 1 or not there - shares.keys()):
        raise DataError(
            f"{where} leaves nothing to the other prompts: let the shares sum to less than 1, and leave at least "
            "one category out"
        )


def balanced(prompts: Sequence[Prompt], shares: Mapping[str, float], seed: int) -> list[Prompt]:
    """As many prompts of each category in `shares` as make up that share; all prompts of the others.

    A category that has too few is asked again from its start. How often a policy declines follows the share of
    prompts that want declining more than anything else does. Raises `DataError` for a category without prompts
    and for shares that leave nothing to the rest.
    """
    _require(shares, prompts, "category_shares")
    rest = [p for p in prompts if p.category not in shares]
    left = 1.0 - sum(shares.values())
    chosen = list(rest)
    for turn, (category, share) in enumerate(sorted(shares.items()), start=2):
        own = [p for p in prompts if p.category == category]
        order = permutation(len(own), seed, turn)
        count = round(len(rest) * share / left)
        chosen += [own[order[i % len(own)]] for i in range(count)]
    return chosen


def split_prompts(
    prompts: Sequence[Prompt], num_held_out: int, seed: int
) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on, and some to look at only; at most a quarter is held out."""
    order = permutation(len(prompts), seed, 1)
    count = min(num_held_out, len(prompts) // 4)
    return [prompts[i] for i in order[count:]], [prompts[i] for i in order[:count]]
