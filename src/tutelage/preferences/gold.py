"""Questions with known answers: for practice before real work, and now and then among it.

Each says what is expected and why, by helpful, harmless and honest. Ours are shipped beside this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations

from sqlalchemy import Connection, insert, select

from tutelage.core.records import Prompt, Response
from tutelage.store import tables
from tutelage.store.records import PROMPTS, RESPONSES, keep_new

SOURCE = "gold"
SPLIT = "gold"
"""The split of judgements on known answers: they train nothing."""
AGREES_FROM = 0.75
"""Share of the expected order that an answer must have to agree with it."""

_NUMBER = re.compile(r"\{(\d)\}")
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Gold:
    """A prompt, its responses, the expected tie groups of response ids, and the reasons.

    Where a reason speaks of a response it names it as `{id}`, since every rater sees them in another order; in
    `gold.jsonl` the number of the response stands there.
    """

    prompt: Prompt
    responses: tuple[Response, ...]
    expected: tuple[tuple[str, ...], ...]
    explanation: Mapping[str, str]


def shipped_gold() -> tuple[Gold, ...]:
    """The questions that come with the package."""
    text = resources.files(__package__).joinpath("gold.jsonl").read_text(encoding="utf-8")
    return tuple(_gold(json.loads(line)) for line in text.splitlines())


def keep_gold(connection: Connection, questions: Sequence[Gold]) -> None:
    """Put questions into the database that are not there yet."""
    there = set(connection.scalars(select(tables.gold.c.prompt_id)))
    for one in questions:
        if one.prompt.id in there:
            continue
        keep_new(connection, PROMPTS, [one.prompt])
        keep_new(connection, RESPONSES, one.responses)
        row = {"prompt_id": one.prompt.id, "responses": [r.id for r in one.responses]}
        row |= {"expected": [list(g) for g in one.expected], "explanation": dict(one.explanation)}
        connection.execute(insert(tables.gold).values(row))


def agreement_with(ranking: Groups, expected: Groups) -> float:
    """Share of the pairs with an expected order that `ranking` orders so; a tie or a gap is half a pair.

    A response that was left out stands below all that were ranked.
    """
    place = {r: n for n, group in enumerate(ranking) for r in group}
    last = len(ranking)
    right, pairs = 0.0, 0
    for better, worse in combinations(expected, 2):
        for first in better:
            for second in worse:
                ahead = place.get(second, last) - place.get(first, last)
                right += 1.0 if ahead > 0 else 0.5 if ahead == 0 else 0.0
                pairs += 1
    return right / pairs if pairs else 1.0


def agrees(ranking: Groups, expected: Groups) -> bool:
    """Whether an answer is near enough to what is expected."""
    return agreement_with(ranking, expected) >= AGREES_FROM


def _gold(row: Mapping[str, object]) -> Gold:
    prompt = Prompt.of(str(row["prompt"]), source=SOURCE)
    texts: list[str] = row["responses"]  # type: ignore[assignment]
    responses = tuple(Response(prompt.id, text, SOURCE) for text in texts)
    places: list[list[int]] = row["expected"]  # type: ignore[assignment]
    expected = tuple(tuple(responses[i].id for i in group) for group in places)
    reasons: Mapping[str, str] = row["explanation"]  # type: ignore[assignment]
    explanation = {
        name: _NUMBER.sub(lambda n: f"{{{responses[int(n[1])].id}}}", said) for name, said in reasons.items()
    }
    return Gold(prompt, responses, expected, explanation)
