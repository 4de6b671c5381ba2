"""Running the trunk in two parts is running it whole, values and gradients, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.models.helpers import add_random_adapter, sequences
from tutelage.core.errors import ModelError
from tutelage.models.layers import hidden_below, hidden_from
from tutelage.models.packed import pack
from tutelage.models.tiny import make_tiny
from tutelage.models.trunk import Trunk


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_two_parts_make_the_whole(new_trunk: Callable[..., Trunk], tmp_path: Path, layer: int) -> None:
    trunk = new_trunk(make_tiny(tmp_path, layers=3))
    add_random_adapter(trunk, "one")
    beginning = sequences([12])[0]
    packed = pack([[*beginning, *rest] for rest in sequences([5, 9, 1])] + sequences([7], seed=3))
    parameters = trunk.adapter_parameters("one")
    found = []
    with trunk.using("one"):
        for parts in (False, True):
            hidden = trunk.hidden(packed)
            if parts:
                hidden = hidden_from(trunk, packed, layer, hidden_below(trunk, packed, layer))
            found.append([hidden, *torch.autograd.grad(hidden.square().sum(), parameters)])
    for whole, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(in_parts, whole, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(hidden_below(trunk, packed, 1), trunk.hidden(packed), atol=0.1)


def test_the_trunk_is_as_it_was_after_an_error(new_trunk: Callable[..., Trunk]) -> None:
    trunk, packed = new_trunk(), pack(sequences([4]))
    before = trunk.hidden(packed)
    with pytest.raises(RuntimeError):
        hidden_from(trunk, packed, 1, torch.zeros(4, trunk.width + 1))
    assert torch.equal(trunk.hidden(packed), before)


def test_a_trunk_without_numbered_layers_is_refused(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk()
    del trunk.model.base_model.norm
    with pytest.raises(ModelError, match=r"set ensemble\.members=1"):
        hidden_below(trunk, pack(sequences([4])), 1)
