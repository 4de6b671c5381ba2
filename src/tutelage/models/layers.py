"""A part of the trunk's layers: stop behind some of them, or go on from there.

What several adapters have alike below a layer is computed once and handed to each. Both halves go through
`Trunk.hidden`, with the modules outside the range handing on what they get, so that rotary angles, attention
and whatever else a layer is given are the trunk's own business. Left out on purpose: ranges that neither begin
at the embedding nor end at the final norm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from tutelage.core.errors import ModelError
from tutelage.models.packed import Packed
from tutelage.models.trunk import Trunk


def hidden_below(trunk: Trunk, packed: Packed, layer: int) -> Tensor:
    """The residual stream `(N, H)` that enters `layer` (0: the embeddings), under the active adapter."""
    body = _body(trunk)
    with _handing_on([*body.layers[layer:], body.norm]):
        return trunk.hidden(packed)


def hidden_from(trunk: Trunk, packed: Packed, layer: int, stream: Tensor) -> Tensor:
    """`Trunk.hidden` `(N, H)` from the `stream` that enters `layer`; `packed.ids` are not looked at."""
    body = _body(trunk)
    with _handing_on(body.layers[:layer]), _forward(body.get_input_embeddings(), lambda *_: stream[None]):
        return trunk.hidden(packed)


def _body(trunk: Trunk) -> Any:
    body = trunk.model.base_model
    if not (isinstance(getattr(body, "layers", None), nn.ModuleList) and hasattr(body, "norm")):
        raise ModelError(
            f"the layers of {trunk.name} cannot be run in two parts: set ensemble.members=1, "
            "or choose another model.base"
        )
    return body


@contextlib.contextmanager
def _handing_on(modules: Any) -> Iterator[None]:
    """Inside the `with` block these modules give back their first argument."""
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(_forward(module, lambda first, **_: first))
        yield


@contextlib.contextmanager
def _forward(module: nn.Module, instead: Callable[..., Tensor]) -> Iterator[None]:
    own = vars(module).get("forward")  # a kernel of ours may stand in for the class's (kernels.elementwise)
    module.forward = instead
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own
