"""A score head that starts as a linear probe of what the trunk already knows.

A head that starts at zero gives the trunk no gradient at first, and a short training can be half over before
it has found its way. So the head may be fitted first, in closed form, on frozen features: linear probing, then
fine-tuning (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features", section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.models.packed import by_tokens
from tutelage.models.reward import RewardModel
from tutelage.stats.linear import fit_linear_bradley_terry
from tutelage.training.ranked import RankedExample, by_example, sequences_of


@torch.no_grad()
def fit_head(model: RewardModel, examples: Sequence[RankedExample], max_tokens: int) -> None:
    """Put the head along the direction in which chosen responses lie above rejected ones; each prompt weighs as one.

    Raises `DataError` if all comparisons are ties.
    """
    differences: list[Tensor] = []
    weights: list[Tensor] = []
    for group in by_tokens([example.tokens for example in examples], max_tokens):
        chosen = [examples[i] for i in group]
        parts = by_example(model.features(sequences_of(chosen)).float().cpu(), chosen)
        for example, part in zip(chosen, parts, strict=True):
            pairs = example.labelled(torch.device("cpu"))
            clear = pairs.preference > 0.5
            if clear.any():
                differences.append(part[pairs.better[clear]] - part[pairs.worse[clear]])
                weights.append(pairs.weight[clear] / pairs.weight[clear].sum())
    if not differences:
        raise DataError("a probe needs comparisons with a clear preference: set reward.probe_prompts=0")
    found = fit_linear_bradley_terry(torch.cat(differences).numpy(), torch.cat(weights).numpy())
    model.head.weight.copy_(torch.from_numpy(found).view_as(model.head.weight))
