"""The small heads on the trunk: one number a token (value), or one or several a response (reward)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class ScalarHead(nn.Module):
    """A linear map `(N, H) -> (N,)` in fp32, without bias, so that it fits `num_labels=1` of transformers.

    It starts at zero by default (every value or score 0), so that the first advantages or comparisons
    are not noise of the initialisation.
    """

    def __init__(self, width: int, device: torch.device, *, spread: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(1, width, generator=generator) * spread
        self.weight = nn.Parameter(start.to(device))

    def forward(self, hidden: Tensor) -> Tensor:
        return (hidden.float() @ self.weight.t())[:, 0]


class WeightedHeads(nn.Module):
    """Several score heads by name, and their weighted sum: for whoever asks for one score, a `ScalarHead`.

    A sum of linear maps is one, so what is saved as its `weight` gives the sum in any library.
    """

    def __init__(self, weights: Mapping[str, float], width: int, device: torch.device) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.heads = nn.ModuleList([ScalarHead(width, device) for _ in self.weights])

    @property
    def weight(self) -> Tensor:
        """`(1, H)`: the sum over heads of weight times the head's own."""
        each = zip(self.weights.values(), self.heads, strict=True)
        return torch.stack([share * head.get_parameter("weight") for share, head in each]).sum(0)

    def forward(self, hidden: Tensor) -> Tensor:
        return (hidden.float() @ self.weight.t())[:, 0]

    def each(self, hidden: Tensor) -> Tensor:
        """Each head's score, `(heads, N)`, in the order of `weights`."""
        return torch.stack([head(hidden) for head in self.heads])
