from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_expit
from transformers import AutoModelForCausalLM

from tutelage.core.errors import ModelError
from tutelage.core.records import Message
from tutelage.core.settings import ModelSettings, TokenSettings
from tutelage.judges.judge import Messages
from tutelage.judges.pairwise import PairwiseJudge, TrunkChoices
from tutelage.models.roles import open_base

PROMPT = (Message("user", "Name a colour."),)


def _biased(towards_a: float, quality: dict[str, float]):
    """A judge's model that knows how good each answer is and adds `towards_a` to the log-odds of A."""

    def logprobs(prompts: Sequence[Messages], choices: Sequence[str]) -> np.ndarray:
        assert choices == ("A", "B")
        rows: list[list[float]] = []
        for (message,) in prompts:
            a, b = (message.content.split(f"Response {x}:\n")[1].split("\n")[0] for x in "AB")
            odds = quality[a] - quality[b] + towards_a
            rows.append([log_expit(odds), log_expit(-odds)])
        return np.array(rows)

    return logprobs


@given(st.floats(-6, 6), st.floats(-3, 3), st.floats(-3, 3))
def test_a_preference_for_a_position_is_removed_exactly(bias: float, red: float, blue: float) -> None:
    judge = PairwiseJudge(_biased(bias, {"red": red, "blue": blue}))
    found = judge.compare([PROMPT], ["red"], ["blue"])
    assert found[0] == pytest.approx(expit(red - blue), abs=1e-9)


def test_position_bias_and_flips_worked_by_hand() -> None:
    # Equal answers and log-odds ln 3 for A: A gets 3/4 in each order. The bias is 1/4; every verdict flips.
    judge = PairwiseJudge(_biased(float(np.log(3)), {"red": 0.0, "blue": 0.0}))
    looked = judge.look([PROMPT, PROMPT], ["red", "blue"], ["blue", "red"])
    assert looked.position_bias == pytest.approx(0.25)
    assert looked.flips == 1.0
    assert looked.probability == pytest.approx([0.5, 0.5])
    fair = PairwiseJudge(_biased(0.0, {"red": 2.0, "blue": 0.0})).look([PROMPT], ["red"], ["blue"])
    assert (fair.position_bias, fair.flips) == (pytest.approx(0.0), 0.0)


def test_no_pairs_are_no_question() -> None:
    def never(prompts: Sequence[Messages], choices: Sequence[str]) -> np.ndarray:
        raise AssertionError("asked without need")

    assert len(PairwiseJudge(never).compare([], [], [])) == 0


def test_the_question_shows_conversation_answers_and_criterion() -> None:
    talk = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Name a colour."))
    (message,) = PairwiseJudge(lambda p, c: np.zeros((len(p), 2)), "Which is kinder?").question(
        talk, "red", "blue"
    )
    places = [
        message.content.index(x) for x in ("User: Hi", "Assistant: Hello!", "red", "blue", "Which is kinder?")
    ]
    assert places == sorted(places)


@pytest.fixture(scope="module")
def trunk(tiny_folder: Path):
    return open_base(
        ModelSettings(base=str(tiny_folder), dtype="float32"), TokenSettings(max_prompt=40, max_response=16)
    )


def test_trunk_choices_are_the_models_own_next_token_probabilities(trunk, tiny_folder: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    choices = TrunkChoices(trunk)
    prompts = [
        PROMPT,
        (Message("user", "A much longer question, which must not be cut at forty tokens. " * 4),),
    ]
    found = choices(prompts, ("A", "B"))
    tokens = [trunk.contract.response_ids(x, end=False)[0] for x in "AB"]
    for row, prompt in zip(found, prompts, strict=True):
        with torch.no_grad():
            logits = reference(torch.tensor([choices.contract.prompt_ids(prompt)])).logits[0, -1]
        assert row == pytest.approx(logits.log_softmax(-1)[tokens].tolist(), abs=1e-4)
    assert len(choices.contract.prompt_ids(prompts[1])) > 40


def test_trunk_choices_do_not_depend_on_the_batch(trunk) -> None:
    prompts = [(Message("user", "word " * n),) for n in (1, 9, 3)]
    together = TrunkChoices(trunk, max_tokens=4096)(prompts, ("A", "B"))
    apart = TrunkChoices(trunk, max_tokens=1)(prompts, ("A", "B"))
    assert np.abs(together - apart).max() < 1e-4


def test_choices_of_several_tokens_are_refused(trunk) -> None:
    with pytest.raises(ModelError, match="as a token of its own"):
        TrunkChoices(trunk)([PROMPT], ("Axqz", "B"))
