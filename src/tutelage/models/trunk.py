"""The trunk: one base model in memory, and every role that is played on it.

In adapter mode the base is frozen and policy, reference and reward models are adapters by name;
`using(name)` says which one is active and `using(None)` is the bare base. In full mode the trunk's own
weights are trained. Everything goes through `hidden`, on packed sequences, without padding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.core.errors import ModelError
from tutelage.core.settings import LoraSettings
from tutelage.data.tokens import TokenContract
from tutelage.models import lora
from tutelage.models.kernels import elementwise
from tutelage.models.kernels.logprob import token_logprobs
from tutelage.models.loading import Loaded
from tutelage.models.packed import Packed


class Trunk:
    """A causal language model with named adapters. Build one with `Trunk.of(load_base(...))`."""

    def __init__(self, loaded: Loaded, *, adapters: bool = True) -> None:
        self.model: Any = loaded.model
        self.contract: TokenContract = loaded.contract
        self.name = loaded.name
        self.device, self.dtype = loaded.device, loaded.dtype
        self.num_layers = int(self.model.config.num_hidden_layers)
        self.width = int(self.model.config.hidden_size)
        self.shapes: dict[str, lora.AdapterShape] = {}
        self._active = lora.ActiveAdapter()
        self.layers: dict[str, lora.LoraLinear] = {}
        elementwise.install(self.model)
        self.model.requires_grad_(not adapters)
        if adapters:
            self.layers = lora.install(self.model, self._active)

    @property
    def head(self) -> Tensor:
        """The language-model head `(vocabulary, H)`."""
        return self.model.get_output_embeddings().weight

    @property
    def active(self) -> str | None:
        """The adapter in use."""
        return self._active.name

    @contextlib.contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """Make `adapter` (or the bare trunk) the active one inside the `with` block."""
        if adapter is not None and adapter not in self.shapes:
            there = ", ".join(self.shapes) or "none"
            raise ModelError(f"the trunk carries no adapter '{adapter}': it has {there}")
        before, self._active.name = self._active.name, adapter
        try:
            yield
        finally:
            self._active.name = before

    def hidden(self, packed: Packed) -> Tensor:
        """Last hidden states `(N, H)`, after the final norm, of each packed token."""
        out = self.model.base_model(
            input_ids=packed.ids[None],
            position_ids=packed.positions[None],
            use_cache=False,
            packed=packed,
        )
        return out.last_hidden_state[0]

    def token_logprobs(
        self, hidden: Tensor, targets: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """`hidden` (M, H), `targets` (M,) -> log-probability and entropy in nats, both (M,) in fp32."""
        return token_logprobs(hidden, self.head, targets, temperature)

    def add_adapter(self, name: str, settings: LoraSettings, seed: int) -> list[nn.Parameter]:
        """A fresh adapter that changes nothing yet; returns its parameters."""
        upper = settings.upper_layers or self.num_layers
        chosen = tuple(range(max(0, self.num_layers - upper), self.num_layers))
        self._attach(name, lora.AdapterShape(settings.rank, settings.alpha, chosen), seed)
        return self.adapter_parameters(name)

    def copy_adapter(self, source: str, name: str) -> list[nn.Parameter]:
        """A new adapter that starts where `source` stands; returns its parameters."""
        self._attach(name, self.shapes[source], seed=0)
        with torch.no_grad():
            for layer in self.layers.values():
                if source in layer.scales:
                    layer.a[name].copy_(layer.a[source])
                    layer.b[name].copy_(layer.b[source])
        return self.adapter_parameters(name)

    def load_adapter(self, name: str, folder: Path) -> dict[str, Tensor]:
        """Read an adapter from PEFT's layout; returns the tensors that belong to no layer (heads)."""
        shape, tensors = lora.read_adapter(folder, self.num_layers)
        self._attach(name, shape, seed=0)
        try:
            lora.fill_adapter(self.layers, name, tensors, folder)
        except ModelError:
            self.drop_adapter(name)
            raise
        return {key: value for key, value in tensors.items() if ".lora_" not in key}

    def save_adapter(
        self, name: str, folder: Path, *, task: str = "CAUSAL_LM", extra: dict[str, Tensor] | None = None
    ) -> None:
        """Write an adapter in PEFT's layout, with the token contract beside it."""
        shape, base = self.shapes[name], str(self.model.config._name_or_path)
        lora.save_adapter(self.layers, name, shape, folder, base=base, task=task, extra=extra)
        self.contract.save(folder)

    def freeze_below(self, upper_layers: int) -> None:
        """Without adapters: train only the last `upper_layers` layers and the final norm."""
        self.model.requires_grad_(False)
        for name, parameter in self.model.base_model.named_parameters():
            layer = lora.layer_index(name)
            if name.startswith("norm") or (layer is not None and layer >= self.num_layers - upper_layers):
                parameter.requires_grad_(True)

    def drop_adapter(self, name: str) -> None:
        """Forget an adapter and free its memory."""
        del self.shapes[name]
        for layer in self.layers.values():
            if layer.scales.pop(name, None) is not None:
                del layer.a[name], layer.b[name]

    def adapter_parameters(self, name: str) -> list[nn.Parameter]:
        """The parameters of one adapter, in a fixed order."""
        return list(lora.adapter_parameters(self.layers.values(), name))

    def _attach(self, name: str, shape: lora.AdapterShape, seed: int) -> None:
        if name in self.shapes:
            raise ModelError(f"the trunk already carries an adapter '{name}'")
        generator = torch.Generator().manual_seed(seed)
        for module, layer in self.layers.items():
            if shape.carries(module):
                layer.add(name, shape, generator)
        self.shapes[name] = shape
