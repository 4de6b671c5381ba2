"""What sequences share is computed once, and says what separate sequences say, in value and in gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers_training import LORA, tiny_trunk
from tutelage.models.kernels.attention import packed_attention, packed_attention_plain
from tutelage.models.kernels.layout import BLOCK
from tutelage.models.packed import WORTH_SHARING, Packed, Piece, pack, pack_apart
from tutelage.models.reward import RewardModel
from tutelage.models.roles import new_reward_model
from tutelage.models.scoring import joined, predictors, response_logprobs
from tutelage.models.trunk import Trunk

SYSTEM = list(range(40, 50))
PROMPTS = ([5, 9, 12, 7, 8, 8, 8, 8, 8], [11, 6], [30, 31, 32, 33, 34, 35, 36, 37])
RESPONSES = ([20, 21, 22], [23], [24, 25, 26, 27, 28])
PAIRS = [([*SYSTEM, *p], r) for p in PROMPTS for r in RESPONSES]


def test_layout_by_hand() -> None:
    system, prompt = list(range(100, 110)), list(range(200, 208))
    packed = pack([[*system, 5, 6], [*system, *prompt, 7], [8, 9], [*system, *prompt]])
    assert packed.pieces == (Piece(-1, 2), Piece(-1, 10), Piece(1, 2), Piece(1, 8), Piece(3, 1))
    assert packed.leaves == (2, 4, 0, 3)  # the last ends where the second goes on
    assert packed.ids.tolist() == [8, 9, *system, 5, 6, *prompt, 7]
    assert packed.positions.tolist() == [0, 1, *range(10), 10, 11, *range(10, 18), 18]
    assert packed.ends.tolist() == [13, 22, 1, 21]
    assert packed.lengths == (12, 19, 2, 18)
    assert packed.tokens_of(1) == [*range(2, 12), *range(14, 22), 22]


def test_the_same_sequence_twice_is_laid_down_once() -> None:
    packed = pack([[1, 2], [3], [1, 2], [3]])
    assert packed.ids.tolist() == [1, 2, 3]
    assert packed.leaves == (0, 1, 0, 1)


def test_a_short_beginning_is_not_worth_a_piece() -> None:
    common = list(range(WORTH_SHARING))
    assert len(pack([[*common, 50], [*common, 51]]).pieces) == 3
    assert len(pack([[*common[1:], 50], [*common[1:], 51]]).pieces) == 2


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=40), min_size=1, max_size=12))
def test_every_sequence_can_be_read_back(sequences: list[list[int]]) -> None:
    packed = pack(sequences)
    ids = packed.ids.tolist()
    for index, sequence in enumerate(sequences):
        places = packed.tokens_of(index)
        assert [ids[i] for i in places] == sequence
        assert packed.positions[places].tolist() == list(range(len(sequence)))
        assert packed.ends[index] == places[-1]
    assert packed.lengths == tuple(len(s) for s in sequences)
    assert len(ids) <= sum(len(s) for s in sequences)


def test_rows_that_predict_by_hand() -> None:
    prompt = list(range(10, 20))
    pairs = [(prompt, [3, 4]), (prompt, [5])]
    rows, targets = predictors(pairs, joined(pairs, torch.device("cpu")))
    # laid as prompt | 3 4 | 5: token 3 and token 5 are both predicted by the prompt's last, row 9
    assert rows.tolist() == [9, 10, 9]
    assert targets.tolist() == [3, 4, 5]


FORESTS = {
    "one prompt": [Piece(-1, 3), Piece(0, 2), Piece(0, 4)],
    "two roots": [Piece(-1, 5), Piece(-1, 2), Piece(1, 1), Piece(1, 7)],
    "four deep": [Piece(-1, 3), Piece(0, 4), Piece(1, 5), Piece(2, 6), Piece(0, 1)],
    "several blocks": [Piece(-1, 100), Piece(0, 40), Piece(0, 300), Piece(2, 129), Piece(-1, BLOCK)],
}


@pytest.mark.parametrize("heads", [(4, 2), (3, 3), (3, 1)])
@pytest.mark.parametrize("name", FORESTS)
def test_attention_on_the_grid_equals_its_twin(name: str, heads: tuple[int, int]) -> None:
    pieces = tuple(FORESTS[name])
    tokens = sum(piece.length for piece in pieces)
    packed = Packed(torch.arange(tokens), pieces, tuple(range(len(pieces))))
    generator = torch.Generator().manual_seed(0)
    shapes = [(h, tokens, 8) for h in (heads[0], heads[1], heads[1])]
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    weight = torch.randn(tokens, heads[0], 8, generator=generator, dtype=torch.float64)
    results = []
    for attend in (packed_attention, packed_attention_plain):
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        out = attend(q, k, v, packed, 0.4)
        (out * weight).sum().backward()
        results.append([out.detach(), q.grad, k.grad, v.grad])
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-10, rtol=1e-10)


def test_log_probabilities_do_not_depend_on_sharing(tiny_folder: Path) -> None:
    trunk = tiny_trunk(tiny_folder)
    assert len(joined(PAIRS, trunk.device).ids) < sum(len(p) + len(r) for p, r in PAIRS) / 2
    together = response_logprobs(trunk, PAIRS)
    for pair, found in zip(PAIRS, together, strict=True):
        (alone,) = response_logprobs(trunk, [pair])
        assert torch.allclose(found, alone, atol=1e-5)


def test_hidden_states_equal_those_of_sequences_laid_apart(tiny_folder: Path) -> None:
    trunk, rows = tiny_trunk(tiny_folder), [[*p, *r] for p, r in PAIRS]
    with torch.no_grad():
        shared, apart = pack(rows), pack_apart(rows)
        ours, theirs = trunk.hidden(shared), trunk.hidden(apart)
    for index in range(len(rows)):
        mine, other = ours[shared.tokens_of(index)], theirs[apart.tokens_of(index)]
        assert torch.allclose(mine, other, atol=1e-5)


def test_scores_and_gradients_do_not_depend_on_sharing(tiny_folder: Path) -> None:
    found = []
    for groups in ([PAIRS], [[pair] for pair in PAIRS]):
        trunk = tiny_trunk(tiny_folder)
        model = _reward_model(trunk)
        scores = torch.cat([model.raw(group) for group in groups])
        (scores * torch.arange(1.0, len(PAIRS) + 1)).sum().backward()
        found.append((scores.detach(), [p.grad.clone() for p in trunk.adapter_parameters("r")]))
    (first, gradients), (second, others) = found
    assert torch.allclose(first, second, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-3) for a, b in zip(gradients, others, strict=True))


def _reward_model(trunk: Trunk) -> RewardModel:
    model = new_reward_model(trunk, "r", LORA, None, seed=0)
    with torch.no_grad():
        model.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    return model
