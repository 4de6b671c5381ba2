"""The decoder for any model of transformers, through its own forward pass and key-value cache.

It is the plain twin of `tutelage.models.kernels.decode`, which is faster for the models that it fits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from tutelage.models.trunk import Trunk


class GenericDecoder:
    """Rows side by side in a cache that is padded on the left; all of them begin together."""

    joins = False

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk

    def admit(self, prompts: Sequence[Sequence[int]], copies: int) -> Tensor:
        """Begin with `copies` rows for each prompt; hidden states (rows, H) of their last tokens."""
        trunk, longest = self.trunk, max(len(p) for p in prompts)
        ids = [[trunk.contract.pad_id] * (longest - len(p)) + list(p) for p in prompts]
        padded = torch.tensor([longest - len(p) for p in prompts], device=trunk.device)[:, None]
        places = torch.arange(longest, device=trunk.device)
        self.padding = places[None] < padded
        positions = (places[None] - padded).clamp(min=0)
        causal, itself = (compare(places[None, :], places[:, None]) for compare in (torch.le, torch.eq))
        # A padded query may look at itself, so that its softmax is defined; nobody reads it.
        visible = (causal & ~self.padding[:, None, :]) | itself
        self.cache = DynamicCache(config=trunk.model.config)
        hidden = self._forward(torch.tensor(ids, device=trunk.device), positions, visible[:, None])
        self.cache.batch_repeat_interleave(copies)
        self.padding = self.padding.repeat_interleave(copies, 0)
        self.positions = (longest - padded[:, 0]).repeat_interleave(copies)
        return hidden.repeat_interleave(copies, 0)

    def step(self, tokens: Tensor) -> Tensor:
        """One more token for each row: hidden states (rows, H)."""
        seen = self.cache.get_seq_length() + 1 - self.padding.shape[1]
        visible = torch.cat([~self.padding, self.padding.new_ones(len(tokens), seen)], 1)
        hidden = self._forward(tokens[:, None], self.positions[:, None], visible[:, None, None])
        self.positions = self.positions + 1
        return hidden

    def keep(self, order: Sequence[int]) -> None:
        """Row i becomes what row `order[i]` was; rows that `order` leaves out are forgotten."""
        rows = torch.tensor(order, dtype=torch.long, device=self.trunk.device)
        self.cache.batch_select_indices(rows)
        self.padding, self.positions = self.padding[rows], self.positions[rows]

    def logits(self, hidden: Tensor) -> Tensor:
        """`(rows, H)` -> `(rows, V)` in fp32."""
        return F.linear(hidden, self.trunk.head).float()

    def _forward(self, ids: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        bias = torch.zeros(visible.shape, dtype=self.trunk.dtype, device=visible.device)
        out = self.trunk.model.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=bias.masked_fill_(~visible, float("-inf")),
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.last_hidden_state[:, -1]
