"""What an online method knows of one iteration's responses, and how it is kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.models.scoring import Pair
from tutelage.sampling.sampler import Sample


class FlatRollouts(NamedTuple):
    """The response tokens of some rollouts end to end, `(M,)` each, as they were when they were sampled."""

    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    importance: Tensor
    reference_logprobs: Tensor
    weights: Tensor | None
    """What each token weighs in the loss; None where all weigh the same."""


@dataclass
class Rollouts:
    """Per-token tensors are `(B, T)` on the CPU, zero where `response_mask` is False; scores are `(B,)`,
    and `kept` `(C, B)` those of constrained perspectives.

    `rewards`, `advantages`, `returns` and `importance` are the method's to fill in: as `collect` leaves
    them all are zero, and `importance` is one. `members` are the places of the rollouts that are learnt from, all
    of them unless a method leaves some out.
    """

    pairs: list[Pair]
    samples: list[Sample]
    scores: Tensor
    kept: Tensor
    response_mask: Tensor
    logprobs: Tensor
    entropy: Tensor
    values: Tensor
    sampler_logprobs: Tensor
    reference_logprobs: Tensor
    finished: Tensor
    rewards: Tensor
    advantages: Tensor
    returns: Tensor
    importance: Tensor
    members: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        self.members = self.members or list(range(len(self.samples)))

    @property
    def num_tokens(self) -> int:
        """Prompt and response tokens together."""
        return sum(len(prompt) + len(response) for prompt, response in self.pairs)

    def flat(
        self, members: Sequence[int], device: torch.device, weights: Tensor | None = None
    ) -> FlatRollouts:
        """The response tokens of `members`, end to end, in their order; `weights` (M,) go with them."""
        index = list(members)
        mask = self.response_mask[index]
        cut = lambda t: t[index][mask].to(device)  # noqa: E731
        return FlatRollouts(
            logprobs=cut(self.logprobs),
            values=cut(self.values),
            advantages=cut(self.advantages),
            returns=cut(self.returns),
            importance=cut(self.importance),
            reference_logprobs=cut(self.reference_logprobs),
            weights=None if weights is None else weights.to(device),
        )


def padded(flat: Tensor, response_mask: Tensor) -> Tensor:
    """`(M,)` values laid into `(B, T)` where the mask is True, zeros elsewhere."""
    return torch.zeros(response_mask.shape, dtype=flat.dtype).masked_scatter(response_mask, flat)


def write_rollouts(folder: Path, iteration: int, rollouts: Rollouts) -> None:
    """Keep tokens, log-probabilities, values, rewards and scores as `rollouts/NNNN.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mask = rollouts.response_mask
    lengths = mask.sum(1).tolist()

    def lists(t: Tensor) -> list[list[float]]:
        return [row[:n].tolist() for row, n in zip(t, lengths, strict=True)]

    table = pa.table(
        {
            "prompt_ids": [list(prompt) for prompt, _ in rollouts.pairs],
            "response_ids": [list(response) for _, response in rollouts.pairs],
            "score": rollouts.scores.tolist(),
            "finished": rollouts.finished.tolist(),
            "logprobs": lists(rollouts.logprobs),
            "sampler_logprobs": lists(rollouts.sampler_logprobs),
            "reference_logprobs": lists(rollouts.reference_logprobs),
            "values": lists(rollouts.values),
            "rewards": lists(rollouts.rewards),
            "advantages": lists(rollouts.advantages),
        }
    )
    target = folder / "rollouts"
    target.mkdir(exist_ok=True)
    pq.write_table(table, target / f"{iteration:04d}.parquet")
