"""What every method shares that learns from its own samples: who takes part, sampling, looking, resuming.

PPO, RLOO and GRPO differ in how they make advantages and in their loss; the rest is here and in
`training.update`, as plain functions that their loops call in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tutelage.core.recorder import Recorder
from tutelage.core.settings import OnlineSettings
from tutelage.models.heads import ScalarHead
from tutelage.models.packed import by_tokens
from tutelage.models.scoring import Pair, joined, predictors, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.objectives import kl as kls
from tutelage.sampling.sampler import Sampler, SamplingSettings
from tutelage.training.loop import Optimizer, derived_seed, permutation
from tutelage.training.resume import load_checkpoint, save_checkpoint
from tutelage.training.rollouts import Rollouts, padded
from tutelage.training.sft import trainable

ESTIMATORS = {"k1": kls.kl_k1, "k2": kls.kl_k2, "k3": kls.kl_k3}
Score = Callable[[Sequence[Pair]], Tensor]
"""Scores `(B,)` of (prompt, response) pairs, on the CPU."""
Controller = kls.FixedKl | kls.AdaptiveKl
_LOOK = 999_983
"""The turn whose seed the looks at held-out prompts have, so that all of them draw alike."""


@dataclass
class Actors:
    """Who takes part. In adapter mode policy and reference are one trunk with different adapters.

    `value` is None for methods without a value head; `value_trains_trunk` lets its loss reach the policy.
    """

    policy: Trunk
    adapter: str | None
    reference: Trunk
    reference_adapter: str | None
    value: ScalarHead | None
    sampler: Sampler
    score: Score
    value_trains_trunk: bool = False

    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the policy's parameters, then the value head's."""
        head = [] if self.value is None else [self.value.weight]
        return [*trainable(self.policy, self.adapter), *head]


class Seen(NamedTuple):
    """What the policy makes of response tokens, `(M,)` each: nats, nats, and the value head's word or 0."""

    logprobs: Tensor
    entropy: Tensor
    values: Tensor


def pick_prompts(
    prompts: Sequence[Sequence[int]], count: int, seed: int, iteration: int
) -> list[Sequence[int]]:
    """The prompts of one iteration: passes over all of them, each pass in an order of its own."""
    first = iteration * count
    places = range(first, first + count)
    orders = {turn: permutation(len(prompts), seed, turn) for turn in {p // len(prompts) for p in places}}
    return [prompts[orders[p // len(prompts)][p % len(prompts)]] for p in places]


def collect(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    settings: OnlineSettings,
    seed: int,
    num_samples: int = 1,
) -> Rollouts:
    """Sample `num_samples` responses a prompt and look at them with everyone's eyes: reward, policy, reference.

    The responses to one prompt stand side by side.
    """
    limit = actors.policy.contract.max_response
    how = SamplingSettings(max_new_tokens=limit, temperature=settings.temperature, seed=seed)
    groups = actors.sampler.sample(prompts, how, num_samples)
    samples = [sample for group in groups for sample in group]
    pairs: list[Pair] = [(p, s.ids) for p, group in zip(prompts, groups, strict=True) for s in group]
    budget = settings.optim.micro_batch_tokens
    scores = actors.score(pairs)
    with torch.no_grad(), actors.policy.using(actors.adapter):
        seen = [look_at(actors, [pairs[i] for i in g], settings) for g in within(pairs, budget)]
    with actors.reference.using(actors.reference_adapter):
        reference = response_logprobs(
            actors.reference, pairs, temperature=settings.temperature, max_tokens=budget
        )
    lengths = [len(s.ids) for s in samples]
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    logprobs, entropy, values = (padded(torch.cat(parts).cpu(), mask) for parts in zip(*seen, strict=True))
    return Rollouts(
        pairs=pairs,
        samples=samples,
        scores=scores,
        response_mask=mask,
        logprobs=logprobs,
        entropy=entropy,
        values=values,
        sampler_logprobs=padded(torch.tensor([x for s in samples for x in s.logprobs]), mask),
        reference_logprobs=padded(torch.cat(reference), mask),
        finished=torch.tensor([s.finished for s in samples]),
    )


def look_at(actors: Actors, pairs: Sequence[Pair], settings: OnlineSettings) -> Seen:
    """The policy's log-probability, entropy and value at each response token of all pairs."""
    trunk = actors.policy
    rows, targets = predictors(pairs, trunk.device)
    hidden = trunk.hidden(joined(pairs, trunk.device))[rows]
    logprobs, entropy = trunk.token_logprobs(hidden, targets, settings.temperature)
    if actors.value is None:
        return Seen(logprobs, entropy, torch.zeros_like(logprobs))
    seen_by_value = hidden if actors.value_trains_trunk else hidden.detach()
    return Seen(logprobs, entropy, actors.value(seen_by_value))


def summarise(rollouts: Rollouts, coefficient: float) -> dict[str, float]:
    """What a practitioner wants to know of the rollouts; `docs/metrics.md` defines each."""
    mask, per = rollouts.response_mask, len(rollouts.samples)
    k1 = kls.kl_k1(rollouts.logprobs, rollouts.reference_logprobs)
    k3 = kls.kl_k3(rollouts.logprobs, rollouts.reference_logprobs)
    gap = (rollouts.logprobs - rollouts.sampler_logprobs).abs()
    return {
        "reward_mean": float(rollouts.scores.mean()),
        "reward_std": float(rollouts.scores.std(correction=0)),
        "shaped_reward_mean": float(rollouts.rewards.sum()) / per,
        "kl_k1": float(k1[mask].sum()) / per,
        "kl_k3": float(k3[mask].sum()) / per,
        "kl_coefficient": coefficient,
        "rollout_entropy": float(rollouts.entropy[mask].mean()),
        "response_length": float(mask.sum()) / per,
        "end_rate": float(rollouts.finished.float().mean()),
        "sampler_gap": float(gap[mask].max()),
        "importance_mean": float(rollouts.importance[mask].mean()),
    }


def look(
    actors: Actors, held_out: Sequence[Sequence[int]], settings: OnlineSettings, seed: int
) -> dict[str, float]:
    """Reward and KL on prompts that are never trained on, with the same draws at every look."""
    seen = collect(actors, held_out, settings, derived_seed(seed, _LOOK))
    k1 = kls.kl_k1(seen.logprobs, seen.reference_logprobs)[seen.response_mask].sum()
    return {
        "held_out_reward": float(seen.scores.mean()),
        "held_out_kl": float(k1) / len(held_out),
        "held_out_end_rate": float(seen.finished.float().mean()),
    }


def due(settings: OnlineSettings, iteration: int) -> bool:
    """Whether held-out prompts are looked at after this many iterations."""
    return iteration % settings.evaluate_every == 0 or iteration == settings.iterations


def within(pairs: Sequence[Pair], budget: int) -> list[list[int]]:
    """Indices of pairs in groups of at most `budget` tokens."""
    return list(by_tokens([len(p) + len(r) for p, r in pairs], budget))


def keep(
    folder: Path, optimizer: Optimizer, controller: Controller, iteration: int, metrics: dict[str, float]
) -> None:
    """Write a checkpoint after `iteration` iterations."""
    state = {"optimizer": optimizer.state(), "controller": controller.state()}
    save_checkpoint(folder, {**state, "iteration": iteration, "metrics": metrics})


def go_on(
    folder: Path, optimizer: Optimizer, controller: Controller, recorder: Recorder
) -> tuple[int, dict[str, float], Controller]:
    """Iterations done, their last metrics and the controller, from the checkpoint if there is one."""
    saved = load_checkpoint(folder)
    recorder.rewind(int(saved["iteration"]) if saved else -1)
    if saved is None:
        return 0, {}, controller
    optimizer.restore(saved["optimizer"])
    kept = type(controller).from_state(saved["controller"])
    return int(saved["iteration"]), dict(saved["metrics"]), kept
