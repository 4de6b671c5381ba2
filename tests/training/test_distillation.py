"""Demonstrations in the model's own words: which are answered, how it is asked, what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers_training import tiny_trunk
from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Message, Prompt
from tutelage.core.settings import DistillationSettings
from tutelage.data.tokens import TokenContract
from tutelage.sampling.scripted import ScriptedSampler
from tutelage.training.distillation import in_own_words, told

BRIEF = "Be brief."
OWN = DistillationSettings(categories=("helpful", "chat"), instruction=BRIEF)


@pytest.fixture(scope="module")
def contract(tiny_folder: Path) -> TokenContract:
    return tiny_trunk(tiny_folder).contract


def demonstration(text: str, category: str, response: str = "as written") -> Demonstration:
    return Demonstration(Prompt.of(text, category=category), response, "an author")


GIVEN = [
    demonstration("boil an egg", "helpful"),
    demonstration("break in", "refusal"),
    demonstration("tie a knot", "helpful"),
    demonstration("say hello", "chat"),
    demonstration("go on for ever", "helpful"),
]
ANSWERS = {
    "boil an egg": "Six minutes.",
    "tie a knot": "I cannot help with that.",
    "say hello": "Hello!",
    "go on for ever": "and " * 400,
}


def scripted(contract: TokenContract, answers: Mapping[str, str]) -> ScriptedSampler:
    return ScriptedSampler(contract, {f"{prompt}\n\n{BRIEF}": answer for prompt, answer in answers.items()})


def test_its_own_answers_take_the_place_of_written_ones(contract: TokenContract) -> None:
    learnt = in_own_words(GIVEN, OWN, scripted(contract, ANSWERS), contract, author="the model", seed=1)
    said = [(d.prompt.text, d.response, d.author) for d in learnt]
    # a refusal and an answer without an end are left out with their prompts, and the rest keeps its order
    assert said == [
        ("boil an egg", "Six minutes.", "the model"),
        ("break in", "as written", "an author"),
        ("say hello", "Hello!", "the model"),
    ]


def test_no_more_are_answered_than_the_limit_and_the_seed_says_which(contract: TokenContract) -> None:
    given = [demonstration(f"question {n}", "helpful") for n in range(20)]
    sampler = ScriptedSampler(contract, {}, default="An answer.")

    def prompts(seed: int) -> list[str]:
        few = OWN.model_copy(update={"limit": 5})
        return [
            d.prompt.text for d in in_own_words(given, few, sampler, contract, author="the model", seed=seed)
        ]

    assert len(prompts(1)) == 5 and prompts(1) == prompts(1) != prompts(2)


def test_where_nothing_can_be_kept_it_says_why(contract: TokenContract) -> None:
    endless = ScriptedSampler(contract, {}, default="and " * 400)
    with pytest.raises(DataError, match=r"own answers to 1 demonstrations could be kept.*max_response"):
        in_own_words(GIVEN[:1], OWN, endless, contract, author="the model", seed=1)


def test_the_instruction_follows_what_was_said_last() -> None:
    talk = [Message("user", "hi"), Message("assistant", "hello"), Message("user", "why?")]
    assert told(talk, OWN) == [*talk[:2], Message("user", f"why?\n\n{BRIEF}")]
