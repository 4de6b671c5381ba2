"""The small heads on the trunk: one number a token (value) or one number a response (reward)."""

from __future__ import annotations

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
