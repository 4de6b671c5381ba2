"""Splits that are the same on every machine and every day: by a hash of how the conversation opens.

A prompt never straddles two splits, nor does a dialogue that stands in the data at several of its turns
(as in HH-RLHF), and a comparison added later never moves one that was there: what once measured a judge
will not train it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Prompt
from tutelage.data.judged import Judged
from tutelage.data.prompts import SPLITS


def position(prompt: Prompt, salt: str) -> float:
    """A number in [0, 1), uniform over openings; it depends on the first user message and the salt alone."""
    opening = next((m.content for m in prompt.messages if m.role == "user"), "")
    digest = hashlib.sha256(f"{salt}\n{opening}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def split_of(prompt: Prompt, referee_share: float, measure_share: float) -> str:
    """`measure`, `judge` or `reward` for a prompt, in these shares of all prompts on average."""
    where = position(prompt, "comparisons")
    if where < measure_share:
        return "measure"
    return "judge" if where < measure_share + referee_share else "reward"


def split_comparisons(judged: Sequence[Judged], referee_share: float, measure_share: float) -> list[Judged]:
    """The same judgements, each with a split; one that a row stated is kept, and holds for its whole prompt.

    Raises `DataError` if rows of one prompt state different splits.
    """
    stated: dict[str, str] = {}
    for prompt, _, judgement in judged:
        if not judgement.split:
            continue
        if judgement.split not in SPLITS:
            raise DataError(
                f"the split '{judgement.split}' of a comparison is not known: use {', '.join(SPLITS)}"
            )
        if stated.setdefault(prompt.id, judgement.split) != judgement.split:
            both = f"'{stated[prompt.id]}' and '{judgement.split}'"
            raise DataError(
                f"the prompt '{prompt.text[:60]}' stands in the splits {both}: put its rows into one"
            )
    return [_in_split(one, stated, referee_share, measure_share) for one in judged]


def split_demonstrations(
    demonstrations: Sequence[Demonstration], validation_share: float
) -> tuple[list[Demonstration], list[Demonstration]]:
    """Training and validation, each in the order given.

    The share of openings is met to the nearest one, with at least one on each side if there are two and
    the share is not 0: those whose hashes are lowest validate.
    """
    places = [position(d.prompt, "demonstrations") for d in demonstrations]
    ordered = sorted(set(places))
    wanted = round(validation_share * len(ordered))
    if validation_share > 0 and len(ordered) > 1:
        wanted = min(max(wanted, 1), len(ordered) - 1)
    held_out = set(ordered[:wanted])
    training = [d for d, place in zip(demonstrations, places, strict=True) if place not in held_out]
    return training, [d for d, place in zip(demonstrations, places, strict=True) if place in held_out]


def _in_split(one: Judged, stated: dict[str, str], referee_share: float, measure_share: float) -> Judged:
    split = stated.get(one.prompt.id) or split_of(one.prompt, referee_share, measure_share)
    return Judged(replace(one.prompt, split=split), one.responses, replace(one.judgement, split=split))
