from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.core.errors import DataError
from tutelage.core.records import Message
from tutelage.data.tokens import TokenContract
from tutelage.sampling.sampler import SamplingSettings
from tutelage.sampling.scripted import ScriptedSampler


@pytest.fixture(scope="module")
def contract(tiny_folder: Path) -> TokenContract:
    return TokenContract.load(tiny_folder)


def _say(
    sampler: ScriptedSampler, contract: TokenContract, text: str, num_samples: int = 1, longest: int = 64
):
    prompt = contract.prompt_ids([Message("user", text)])
    (samples,) = sampler.sample([prompt], SamplingSettings(longest), num_samples)
    return samples


def test_a_table_answers_through_the_models_tokens(contract: TokenContract) -> None:
    (sample,) = _say(ScriptedSampler(contract, {"Hi": "Hello there."}), contract, "Hi")
    assert contract.text(sample.ids) == "Hello there."
    assert sample.finished and sample.ids[-1] == contract.end_id
    assert sample.logprobs == (0.0,) * len(sample.ids)


def test_several_answers_are_given_in_turn(contract: TokenContract) -> None:
    samples = _say(ScriptedSampler(contract, {"Hi": ["one", "two"]}), contract, "Hi", num_samples=3)
    assert [contract.text(s.ids) for s in samples] == ["one", "two", "one"]


def test_a_function_sees_the_prompt_and_the_number_of_the_sample(contract: TokenContract) -> None:
    sampler = ScriptedSampler(contract, lambda prompt, number: f"{'Hi' in prompt} {number}")
    assert [contract.text(s.ids) for s in _say(sampler, contract, "Hi", 2)] == ["True 0", "True 1"]


def test_a_long_answer_is_cut_and_not_finished(contract: TokenContract) -> None:
    (sample,) = _say(ScriptedSampler(contract, {"Hi": "abc " * 30}), contract, "Hi", longest=5)
    assert (len(sample.ids), sample.finished) == (5, False)


def test_an_unknown_prompt_gets_the_default_or_an_error(contract: TokenContract) -> None:
    (sample,) = _say(ScriptedSampler(contract, {}, default="Well."), contract, "Who?")
    assert contract.text(sample.ids) == "Well."
    with pytest.raises(DataError, match="no answer for the prompt"):
        _say(ScriptedSampler(contract, {}), contract, "Who?")
