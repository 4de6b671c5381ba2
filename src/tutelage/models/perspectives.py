"""A reward model with a score head for each perspective (helpful, harmless, honest): one trunk, one adapter.

The reward is the weighted sum of the heads' scores. That sum is a linear head itself and is saved as the score
head, so the folder holds an ordinary reward model for anyone who reads it as one; the heads lie beside it in
`perspectives.safetensors`, and their weights in `reward.json`. Bai et al. (2022) found that one model of both
helpfulness and harmlessness loses little against two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.core.errors import ModelError
from tutelage.models.heads import WeightedHeads
from tutelage.models.reward import SETTINGS, RewardModel, in_parts, read_settings
from tutelage.models.scoring import Pair
from tutelage.models.trunk import Trunk

HEADS = "perspectives.safetensors"


class PerspectiveModel(RewardModel):
    """A reward model whose one score is the weighted sum of several, each of which can be asked for."""

    def __init__(self, trunk: Trunk, adapter: str | None, weights: Mapping[str, float]) -> None:
        self.heads = WeightedHeads(weights, trunk.width, trunk.device)
        super().__init__(trunk, adapter, self.heads)
        self.scales = dict.fromkeys(weights, (0.0, 1.0))

    @property
    def names(self) -> list[str]:
        """The perspectives, in the order of their scores."""
        return list(self.heads.weights)

    def raw_by_perspective(self, pairs: Sequence[Pair]) -> Tensor:
        """Scores `(perspectives, B)` in fp32 with their gradient, all pairs in one forward pass."""
        return self.heads.each(self.features(pairs))

    def perspective_scores(self, pairs: Sequence[Pair], max_tokens: int = 4096) -> Tensor:
        """Scores `(perspectives, B)` on the CPU without gradients; the same whatever `max_tokens`."""
        parts = in_parts(self.raw_by_perspective, pairs, max_tokens)
        return torch.cat(parts, 1) if parts else torch.zeros(len(self.names), 0)

    def normalised_by_perspective(self, pairs: Sequence[Pair]) -> Tensor:
        """Scores `(perspectives, B)`, each with mean 0 and deviation 1 on the responses that its head learnt from."""
        mean, deviation = torch.tensor([self.scales[name] for name in self.names]).T
        return (self.perspective_scores(pairs) - mean[:, None]) / deviation[:, None]

    def save(self, folder: Path) -> None:
        """Write the reward model, and the heads that its own is the sum of."""
        super().save(folder)
        each = zip(self.names, self.heads.heads, strict=True)
        save_file({name: head.get_parameter("weight").detach().cpu() for name, head in each}, folder / HEADS)
        kept = {**self.scale(), "perspectives": self.heads.weights, "perspective_scales": self.scales}
        (folder / SETTINGS).write_text(json.dumps(kept, indent=2))

    @classmethod
    def of(cls, model: RewardModel, folder: Path) -> PerspectiveModel:
        """The model whose head is the sum, opened again with its heads apart. Raises `ModelError`."""
        try:
            kept = read_settings(folder)
            weights = {str(name): float(w) for name, w in kept["perspectives"].items()}
            tensors = load_file(folder / HEADS)
            whole = cls(model.trunk, model.adapter, weights)
            for name, (mean, deviation) in kept.get("perspective_scales", {}).items():
                whole.scales[name] = float(mean), float(deviation)
            with torch.no_grad():
                for name, head in zip(whole.names, whole.heads.heads, strict=True):
                    head.get_parameter("weight").copy_(tensors[name])
        except (OSError, SafetensorError, KeyError, AttributeError, ValueError, RuntimeError):
            raise ModelError(
                f"the perspectives in {folder} are incomplete: train the reward model again"
            ) from None
        whole.set_scale(model.scale())
        return whole


def has_perspectives(folder: Path) -> bool:
    """Whether `PerspectiveModel.save` wrote this folder."""
    return (folder / HEADS).exists()
