"""Packed forward passes against transformers' own padded ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.helpers import padded, plain_model, sequences
from tutelage.models.packed import by_tokens, pack, pack_apart
from tutelage.models.trunk import Trunk

LENGTHS = (7, 1, 12, 150, 7)


@pytest.mark.parametrize("side", ["left", "right"])
def test_packed_hidden_states_equal_the_padded_forward_of_transformers(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, side: str
) -> None:
    rows, model = sequences(LENGTHS), plain_model(tiny_folder)
    ids, seen = padded(rows, side)
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        theirs = model.model(input_ids=ids, attention_mask=seen, position_ids=positions).last_hidden_state
        ours = new_trunk().hidden(pack_apart(rows)).split(LENGTHS)
    for mine, row, mask in zip(ours, theirs, seen.bool(), strict=True):
        torch.testing.assert_close(mine, row[mask], atol=1e-4, rtol=0)


def test_a_sequence_does_not_see_its_neighbours(new_trunk: Callable[..., Trunk]) -> None:
    trunk, rows = new_trunk(), sequences(LENGTHS)
    others = [rows[0], *sequences(LENGTHS[1:], seed=9)]
    with torch.no_grad():
        first = trunk.hidden(pack_apart(rows))[: LENGTHS[0]]
        second = trunk.hidden(pack_apart(others))[: LENGTHS[0]]
    assert torch.equal(first, second)


def test_no_gradient_flows_between_neighbours(new_trunk: Callable[..., Trunk]) -> None:
    trunk, rows = new_trunk(adapters=False), [[5, 6, 7], [8, 9, 10, 11]]
    trunk.model.get_input_embeddings().weight.grad = None
    trunk.hidden(pack_apart(rows))[:3].square().sum().backward()
    touched = trunk.model.get_input_embeddings().weight.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert touched == [5, 6, 7]


def test_positions_and_ends_by_hand() -> None:
    packed = pack_apart([[9, 9, 9], [8], [7, 7]])
    assert packed.ids.tolist() == [9, 9, 9, 8, 7, 7]
    assert packed.positions.tolist() == [0, 1, 2, 0, 0, 1]
    assert packed.ends.tolist() == [2, 3, 5]


@pytest.mark.parametrize("rows", [[], [[1], []]])
def test_an_empty_sequence_cannot_be_packed(rows: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="empty"):
        pack(rows)
    with pytest.raises(ValueError, match="empty"):
        pack_apart(rows)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 60))
def test_groups_hold_every_index_in_order_and_keep_the_limit(lengths: list[int], limit: int) -> None:
    groups = list(by_tokens(lengths, limit))
    assert [i for group in groups for i in group] == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[i] for i in group) <= limit
    for left, right in itertools.pairwise(groups):
        assert sum(lengths[i] for i in left) + lengths[right[0]] > limit  # nothing was split needlessly
