"""Branches behind a shared prompt say what separate sequences say, in value and in gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers_training import LORA, tiny_trunk
from tutelage.models.kernels.attention import packed_attention, packed_attention_plain
from tutelage.models.packed import pack, pack_branches
from tutelage.models.reward import RewardModel
from tutelage.models.roles import new_reward_model
from tutelage.models.scoring import joined, predictors, response_logprobs

PROMPTS = ([5, 9, 12, 7], [11, 6], [30, 31, 32, 33, 34, 35])
RESPONSES = ([20, 21, 22], [23], [24, 25, 26, 27, 28])
SHARED = [(p, r) for p in PROMPTS for r in RESPONSES]
APART = [SHARED[i] for i in (0, 3, 6, 1, 4, 7, 2, 5, 8)]  # no neighbours with the same prompt


def test_layout_by_hand() -> None:
    packed = pack_branches([([1, 2], [[3], [4, 5]]), ([6], [[7]])])
    assert packed.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert packed.lengths == (5, 2)
    assert packed.positions.tolist() == [0, 1, 2, 2, 3, 0, 1]
    assert packed.starts.tolist() == [0, 5]
    assert packed.ends.tolist() == [2, 4, 6]
    with pytest.raises(ValueError, match="empty"):
        pack_branches([([1], [[]])])


def test_without_a_fork_it_is_a_plain_pack() -> None:
    forkless = pack_branches([([1, 2], [[3]]), ([4], [[5, 6]])])
    plain = pack([[1, 2, 3], [4, 5, 6]])
    assert forkless.branches is None
    assert torch.equal(forkless.ids, plain.ids) and torch.equal(forkless.ends, plain.ends)


def test_rows_that_predict_by_hand() -> None:
    rows, targets = predictors([([1, 2], [3, 4]), ([1, 2], [5])], torch.device("cpu"))
    # laid as 1 2 | 3 4 | 5: token 3 and token 5 are both predicted by the prompt's last, row 1
    assert rows.tolist() == [1, 2, 1]
    assert targets.tolist() == [3, 4, 5]


@pytest.mark.parametrize("branches", [((3, 2, 4), (5, 1, 1, 1)), ((100, 40, 60), (7, 90, 3, 20))])
def test_blocked_attention_equals_its_twin(branches: tuple[tuple[int, ...], ...]) -> None:
    lengths = tuple(sum(b) for b in branches)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(h, sum(lengths), 8, generator=generator, dtype=torch.float64) for h in (4, 2, 2)]
    results = []
    for attend in (packed_attention, packed_attention_plain):
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        out = attend(q, k, v, lengths, 0.4, branches)
        (out * torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)).sum().backward()
        results.append([out.detach(), q.grad, k.grad, v.grad])
    for fast, plain in zip(*results, strict=True):
        assert torch.allclose(fast, plain, atol=1e-12)


def test_log_probabilities_do_not_depend_on_sharing(tiny_folder: Path) -> None:
    trunk = tiny_trunk(tiny_folder)
    assert joined(SHARED, trunk.device).branches is not None
    assert joined(APART, trunk.device).branches is None
    together = dict(zip(map(str, SHARED), response_logprobs(trunk, SHARED), strict=True))
    for pair, apart in zip(APART, response_logprobs(trunk, APART), strict=True):
        assert torch.allclose(together[str(pair)], apart, atol=1e-5)


def test_scores_and_gradients_do_not_depend_on_sharing(tiny_folder: Path) -> None:
    found = []
    for pairs in (SHARED, APART):
        model: RewardModel = new_reward_model(tiny_trunk(tiny_folder), "r", LORA, None, seed=0)
        with torch.no_grad():
            model.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        weights = torch.tensor([float(SHARED.index(pair) + 1) for pair in pairs])
        scores = model.raw(pairs)
        (scores * weights).sum().backward()
        by_pair = {str(pair): float(s) for pair, s in zip(pairs, scores.detach(), strict=True)}
        found.append((by_pair, [p.grad.clone() for p in model.trunk.adapter_parameters("r")]))
    (first, gradients), (second, others) = found
    assert first == pytest.approx(second, abs=1e-4)
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-3) for a, b in zip(gradients, others, strict=True))
