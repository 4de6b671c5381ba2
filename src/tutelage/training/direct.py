"""Learning from comparisons without a reward model: what DPO and KTO share.

A policy is trained against a reference that does not move, so the reference's log-probabilities are
computed once, before training. All responses to a prompt share its computation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.method_settings import DirectSettings
from tutelage.core.recorder import Recorder
from tutelage.models.packed import by_tokens
from tutelage.models.scoring import Pair, predicting, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.objectives.direct import length_normalised
from tutelage.training.epochs import Accumulate, Where, train_on
from tutelage.training.ranked import RankedExample, by_example, pairs_won, sequences_of
from tutelage.training.sft import trainable


@dataclass(frozen=True)
class Learner:
    """Who learns and from whom it must not stray: one trunk with two adapters, or two trunks."""

    policy: Trunk
    adapter: str | None
    reference: Trunk
    reference_adapter: str | None


def learn(
    learner: Learner,
    train: Sequence[RankedExample],
    held_out: Sequence[RankedExample],
    settings: DirectSettings,
    accumulate: Accumulate,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Take all steps, then say how the policy orders held-out comparisons by its implicit reward."""
    where: Where = {"folder": folder, "recorder": recorder, "seed": seed}
    train_on(trainable(learner.policy, learner.adapter), len(train), accumulate, settings, **where)
    right, counted = held_out_wins(learner, held_out, settings)
    return {
        "held_out_accuracy": right / counted if counted else math.nan,
        "held_out_comparisons": counted,
        "comparisons": float(sum(len(example.pairs) for example in train)),
    }


def reference_sums(learner: Learner, examples: Sequence[RankedExample], normalised: bool) -> list[Tensor]:
    """`response_sums` of the reference."""
    return response_sums(learner.reference, learner.reference_adapter, examples, normalised)


def response_sums(
    trunk: Trunk, adapter: str | None, examples: Sequence[RankedExample], normalised: bool
) -> list[Tensor]:
    """Log-probability of each response without gradient, one tensor `(K,)` on the CPU an example, in nats."""
    with trunk.using(adapter):
        found = response_logprobs(trunk, sequences_of(examples))
    lengths = torch.tensor([len(x) for x in found])
    sums = torch.stack([x.double().sum() for x in found]).float()
    sums = length_normalised(sums, lengths) if normalised else sums
    return by_example(sums, examples)


def policy_sums(learner: Learner, pairs: Sequence[Pair], normalised: bool) -> Tensor:
    """The policy's log-probability `(N,)` of each response, with its gradient, in one forward pass, in nats."""
    trunk = learner.policy
    hidden, targets = predicting(trunk, pairs)
    logprobs, _ = trunk.token_logprobs(hidden, targets)
    lengths = torch.tensor([len(response) for _, response in pairs], device=trunk.device)
    owner = torch.repeat_interleave(torch.arange(len(pairs), device=trunk.device), lengths)
    sums = torch.zeros(len(pairs), device=trunk.device).index_add(0, owner, logprobs)
    return length_normalised(sums, lengths) if normalised else sums


def micro_batches(examples: Sequence[RankedExample], budget: int) -> list[list[int]]:
    """Indices of examples in groups of at most `budget` tokens."""
    return list(by_tokens([example.tokens for example in examples], budget))


def margins(rewards: Tensor, example: RankedExample) -> float:
    """Sum over pairs that are no tie of the better response's reward less the worse's, of `rewards` `(K,)`."""
    return sum(float(rewards[i] - rewards[j]) for i, j, preference, _ in example.pairs if preference > 0.5)


def held_out_wins(
    learner: Learner, examples: Sequence[RankedExample], settings: DirectSettings
) -> tuple[float, float]:
    """On how many comparisons the better response has the higher implicit reward, and how many there are."""
    if not examples:
        return 0.0, 0.0
    reference = reference_sums(learner, examples, settings.length_normalised)
    mine = response_sums(learner.policy, learner.adapter, examples, settings.length_normalised)
    counts = [pairs_won(p - r, e) for p, r, e in zip(mine, reference, examples, strict=True)]
    return sum(won for won, _ in counts), sum(counted for _, counted in counts)
