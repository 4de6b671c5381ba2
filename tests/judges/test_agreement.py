from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Message, Prompt, Response
from tutelage.judges.agreement import measure_agreement
from tutelage.judges.judge import Messages
from tutelage.judges.pairwise import PairwiseJudge
from tutelage.judges.reward_judge import RewardJudge


class _ByTable:
    """A judge that gives each pair of texts the probability it was told."""

    name = "table"

    def __init__(self, table: dict[tuple[str, str], float]) -> None:
        self.table = table

    def compare(self, prompts: Sequence[Messages], first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        return np.array([self.table[pair] for pair in zip(first, second, strict=True)])


def _data(num_prompts: int, preferences: Sequence[float]):
    prompts, responses, comparisons = {}, {}, []
    for n in range(num_prompts):
        prompt = Prompt.of(f"question {n}")
        prompts[prompt.id] = prompt
        for k, preference in enumerate(preferences):
            good, bad = (Response(prompt.id, f"{word} {n} {k}", "authors") for word in ("good", "bad"))
            responses |= {good.id: good, bad.id: bad}
            comparisons.append(Comparison(prompt.id, good.id, bad.id, ("j",), preference))
    return comparisons, prompts, responses


def _measure(judge, data, **kept):
    return measure_agreement(judge, *data, **{"threshold": 0.65, **kept})


def test_agreement_by_hand_with_ties_left_out_or_half() -> None:
    data = _data(1, [1.0, 0.8, 1.0, 0.5])
    said = {(f"good 0 {k}", f"bad 0 {k}"): p for k, p in enumerate([0.9, 0.3, 0.5, 0.99])}
    found = _measure(_ByTable(said), data)
    # right, wrong, undecided: (1 + 0 + 1/2) / 3
    assert (found.agreement.value, found.agreement.n, found.num_ties) == (pytest.approx(0.5), 3, 1)
    half = _measure(_ByTable(said), data, ties="half")
    assert (half.agreement.value, half.agreement.n) == (pytest.approx(0.5), 4)  # (1 + 0 + 1/2 + 1/2) / 4


def test_swapping_the_comparison_changes_nothing() -> None:
    comparisons, prompts, responses = _data(3, [1.0, 0.9])
    one = {(f"good {n} {k}", f"bad {n} {k}"): p for n in range(3) for k, p in enumerate([0.7, 0.2])}
    both = one | {(b, a): 1 - p for (a, b), p in one.items()}
    straight = _measure(_ByTable(both), (comparisons, prompts, responses))
    swapped = _measure(_ByTable(both), ([c.swap() for c in comparisons], prompts, responses))
    assert straight.agreement == swapped.agreement


def test_the_interval_draws_prompts_not_pairs() -> None:
    """Ten pairs a prompt that stand or fall together say no more than one: the width must not shrink."""
    widths = []
    for pairs in (1, 10):
        data = _data(20, [1.0] * pairs)
        said = {(f"good {n} {k}", f"bad {n} {k}"): float(n % 4 > 0) for n in range(20) for k in range(pairs)}
        found = _measure(_ByTable(said), data).agreement
        assert found.value == pytest.approx(0.75)
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0])


@pytest.mark.parametrize(
    ("right", "threshold", "may"), [(30, 0.65, True), (24, 0.65, False), (40, 1.0, True)]
)
def test_labels_are_allowed_at_the_threshold(right: int, threshold: float, may: bool) -> None:
    said = {(f"good {n} 0", f"bad {n} 0"): float(n < right) for n in range(40)}
    found = _measure(_ByTable(said), _data(40, [1.0]), threshold=threshold)
    assert found.may_label is may
    assert found.plain()["used"] is may and found.plain()["agreement"]["n"] == 40


def test_a_coin_may_not_label_however_lucky() -> None:
    said = {(f"good {n} 0", f"bad {n} 0"): float(n < 4) for n in range(6)}  # 4 of 6: over 0.65, but of six
    found = _measure(_ByTable(said), _data(6, [1.0]))
    assert found.agreement.value > 0.65 and not found.may_label


def test_a_pairwise_judges_position_bias_comes_along() -> None:
    always_a = PairwiseJudge(lambda prompts, choices: np.tile([0.0, -np.log(9)], (len(prompts), 1)))
    found = _measure(always_a, _data(4, [1.0]))
    assert found.position_bias == pytest.approx(0.4)  # A gets 9/10
    assert (found.flips, found.agreement.value) == (1.0, 0.5)


def test_without_a_preference_there_is_nothing_to_measure() -> None:
    with pytest.raises(DataError, match="preference"):
        _measure(_ByTable({}), _data(2, [0.5]))


class _Words:
    """A reward model whose score is the number of letters 'o' in the response."""

    temperature = 2.0

    def __init__(self) -> None:
        contract = SimpleNamespace(
            prompt_ids=lambda messages: [1], response_ids=lambda text: [ord(c) for c in text]
        )
        self.trunk = SimpleNamespace(contract=contract)

    def scores(self, pairs) -> torch.Tensor:
        return torch.tensor([float(sum(i == ord("o") for i in ids)) for _, ids in pairs])


def test_a_reward_model_judges_by_bradley_terry_at_its_temperature() -> None:
    judge = RewardJudge(_Words())  # type: ignore[arg-type]
    prompt = (Message("user", "?"),)
    found = judge.compare([prompt] * 3, ["oo", "x", "ooo"], ["", "xo", "ooo"])
    # sigmoid(2/2) = 0.731059, sigmoid(-1/2) = 0.377541
    assert found == pytest.approx([0.731059, 0.377541, 0.5], abs=1e-6)
    back = judge.compare([prompt] * 3, ["", "xo", "ooo"], ["oo", "x", "ooo"])
    assert found + back == pytest.approx([1.0, 1.0, 1.0])
    assert RewardJudge(_Words(), temperature=1.0).compare([prompt], ["oo"], [""]) == pytest.approx([0.880797])  # type: ignore[arg-type]
