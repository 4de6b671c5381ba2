"""Low-rank adapters (Hu et al. 2021): many by name on one frozen linear layer, one active at a time.

y = x W' + s (x A') B', with A (rank, in), B (out, rank) and s = alpha / rank. A starts as Kaiming
uniform and B as zero, so a fresh adapter changes nothing. Adapters are kept in fp32 and used in the
trunk's own precision, so that small updates are not rounded away. They are read and written in PEFT's
layout. Left out on purpose: dropout, DoRA, per-layer ranks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tutelage.core.errors import ModelError

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_FOREIGN = ("use_dora", "rank_pattern", "alpha_pattern", "lora_bias", "trainable_token_indices")
"""Features of PEFT that change what an adapter computes and are not read here."""


@dataclass(frozen=True)
class AdapterShape:
    """What an adapter is made of: the decoder layers that carry it, and which of their linear layers.

    `targets` are the last parts of module names (`q_proj`, ...); None stands for all of them.
    """

    rank: int
    alpha: float
    layers: tuple[int, ...]
    targets: tuple[str, ...] | None = None

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def carries(self, module_name: str) -> bool:
        """Whether the linear layer of this name has a part of the adapter."""
        named = self.targets is None or module_name.rpartition(".")[2] in self.targets
        return named and layer_index(module_name) in self.layers


@dataclass
class ActiveAdapter:
    """The name of the adapter in use, shared by all layers of one trunk. None: the bare trunk."""

    name: str | None = None


class LoraLinear(nn.Module):
    """A frozen linear layer with adapters beside it."""

    def __init__(self, base: nn.Linear, active: ActiveAdapter) -> None:
        super().__init__()
        self.base = base
        self.active = active
        self.a = nn.ParameterDict()
        self.b = nn.ParameterDict()
        self.scales: dict[str, float] = {}

    def add(self, name: str, shape: AdapterShape, generator: torch.Generator) -> None:
        weight = self.base.weight
        bound = 1.0 / math.sqrt(self.base.in_features)
        start = torch.empty(shape.rank, self.base.in_features).uniform_(-bound, bound, generator=generator)
        self.a[name] = nn.Parameter(start.to(weight.device))
        self.b[name] = nn.Parameter(torch.zeros(self.base.out_features, shape.rank, device=weight.device))
        self.scales[name] = shape.scale

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        name = self.active.name
        if name is None or name not in self.scales:
            return y
        down = F.linear(x, self.a[name].to(x.dtype))
        up = F.linear(down, (self.b[name] * self.scales[name]).to(x.dtype))
        return y.add_(up)

    def merged(self, name: str | None) -> Tensor:
        """The weight (out, in) with an adapter added in fp32 and rounded to the trunk's own precision."""
        weight = self.base.weight.detach()
        if name is None or name not in self.scales:
            return weight
        a, b = self.a[name].detach(), self.b[name].detach()
        return torch.addmm(weight.float(), b, a, alpha=self.scales[name]).to(weight.dtype)


def install(model: nn.Module, active: ActiveAdapter) -> dict[str, LoraLinear]:
    """Replace every linear layer inside the decoder layers of `model`; returns them by module name."""
    wrapped: dict[str, LoraLinear] = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and layer_index(name) is not None:
            parent, _, leaf = name.rpartition(".")
            wrapped[name] = LoraLinear(module, active)
            setattr(model.get_submodule(parent), leaf, wrapped[name])
    if not wrapped:
        raise ModelError("this model has no linear layers inside numbered layers: set model.tune=full")
    return wrapped


def layer_index(module_name: str) -> int | None:
    """The number in `...layers.7.self_attn...`; None for modules outside the decoder layers."""
    return next((int(part) for part in module_name.split(".") if part.isdigit()), None)


def adapter_parameters(layers: Iterable[LoraLinear], name: str) -> Iterator[nn.Parameter]:
    """The parameters of one adapter, in a fixed order."""
    for layer in layers:
        if name in layer.scales:
            yield layer.a[name]
            yield layer.b[name]


def save_adapter(
    layers: dict[str, LoraLinear],
    name: str,
    shape: AdapterShape,
    folder: Path,
    *,
    base: str,
    task: str = "CAUSAL_LM",
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Write one adapter in PEFT's layout. `extra`: whole modules that go with it, such as a score head."""
    tensors = {f"{_PREFIX}{key}": value.detach().cpu().contiguous() for key, value in (extra or {}).items()}
    for module, layer in layers.items():
        if name in layer.scales:
            tensors[f"{_PREFIX}{module}.lora_A.weight"] = layer.a[name].detach().cpu().contiguous()
            tensors[f"{_PREFIX}{module}.lora_B.weight"] = layer.b[name].detach().cpu().contiguous()
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": task,
        "base_model_name_or_path": base,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(
            {m.rpartition(".")[2] for m, layer in layers.items() if name in layer.scales}
        ),
        "layers_to_transform": list(shape.layers),
        "modules_to_save": sorted({key.split(".")[0] for key in extra}) if extra else None,
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2))


def read_adapter(folder: Path, num_layers: int) -> tuple[AdapterShape, dict[str, Tensor]]:
    """Shape and tensors (names without PEFT's prefix) of a saved adapter. Raises `ModelError`."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, json.JSONDecodeError, KeyError, SafetensorError) as problem:
        raise ModelError(
            f"the adapter in {folder} is incomplete or damaged ({problem}): make it again"
        ) from None
    if foreign := next((kind for kind in _FOREIGN if config.get(kind)), None):
        raise ModelError(
            f"the adapter in {folder} uses {foreign}, which Tutelage does not know: merge it first"
        )
    tensors = {key.removeprefix(_PREFIX): value for key, value in tensors.items()}
    carried = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")]
    layers = tuple(sorted({i for i in map(layer_index, carried) if i is not None and i < num_layers}))
    targets = tuple(sorted({module.rpartition(".")[2] for module in carried}))
    return AdapterShape(
        rank, alpha * (rank**0.5 if config.get("use_rslora") else 1), layers, targets
    ), tensors


def fill_adapter(layers: dict[str, LoraLinear], name: str, tensors: dict[str, Tensor], where: Path) -> None:
    """Copy tensors from `read_adapter` into an adapter that was added with the same shape."""
    with torch.no_grad():
        for module, layer in layers.items():
            if name not in layer.scales:
                continue
            for letter, parameters in (("A", layer.a), ("B", layer.b)):
                saved = tensors.get(f"{module}.lora_{letter}.weight")
                if saved is None or saved.shape != parameters[name].shape:
                    raise ModelError(
                        f"the adapter in {where} does not fit this base model at {module}: "
                        "use the base it was made for"
                    )
                parameters[name].copy_(saved)
