"""What every method shares that learns from its own samples: who takes part, sampling, looking, resuming.

PPO, RLOO, GRPO, rejection sampling and online DPO differ in what they make of the rewards and in their loss;
the rest is here and in `training.update`, as plain functions that their loops call in order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from tutelage.core.method_settings import OnlineSettings, RewardObjective
from tutelage.core.recorder import Recorder
from tutelage.models.heads import ScalarHead
from tutelage.models.memory import give_back
from tutelage.models.packed import by_tokens
from tutelage.models.scoring import Pair, predicting, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.objectives import kl as kls
from tutelage.objectives.policy import truncated_importance_weights
from tutelage.objectives.shaping import shape_rewards
from tutelage.sampling.best_of_n import Score
from tutelage.sampling.sampler import Sampler, SamplingSettings
from tutelage.training.constrained import ConstrainedScore
from tutelage.training.loop import Optimizer, derived_seed, permutation
from tutelage.training.resume import load_checkpoint, save_checkpoint
from tutelage.training.rollouts import Rollouts, padded, write_rollouts
from tutelage.training.sft import trainable

ESTIMATORS = {"k1": kls.kl_k1, "k2": kls.kl_k2, "k3": kls.kl_k3}
Controller = kls.FixedKl | kls.AdaptiveKl | kls.TargetKl
Item = TypeVar("Item")
_LOOK = 999_983
"""The turn whose seed the looks at held-out prompts have, so that all of them draw alike."""


@dataclass
class Actors:
    """Who takes part. In adapter mode policy and reference are one trunk with different adapters.

    `value` is None for methods without a value head; `value_trains_trunk` lets its loss reach the policy.
    `score` may be a `ConstrainedScore`, which learns along.
    """

    policy: Trunk
    adapter: str | None
    reference: Trunk
    reference_adapter: str | None
    value: ScalarHead | None
    sampler: Sampler
    score: Score
    value_trains_trunk: bool = False

    def heads(self) -> list[nn.Parameter]:
        """The value head's weight, if there is one."""
        return [] if self.value is None else [self.value.weight]

    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the policy's parameters, then the value head's."""
        return [*trainable(self.policy, self.adapter), *self.heads()]


class Seen(NamedTuple):
    """What the policy makes of response tokens, `(M,)` each: nats, nats, and the value head's word or 0."""

    logprobs: Tensor
    entropy: Tensor
    values: Tensor


def pick_prompts(prompts: Sequence[Item], count: int, seed: int, iteration: int) -> list[Item]:
    """The prompts (or other rows) of one iteration: passes over all of them, each in an order of its own."""
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
    scores, kept = judged(actors.score, pairs)
    with torch.no_grad(), actors.policy.using(actors.adapter):
        seen = [look_at(actors, [pairs[i] for i in g], settings) for g in within(pairs, budget)]
    with actors.reference.using(actors.reference_adapter):
        reference = response_logprobs(
            actors.reference, pairs, temperature=settings.temperature, max_tokens=budget
        )
    give_back()
    lengths = [len(s.ids) for s in samples]
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    logprobs, entropy, values = (padded(torch.cat(parts).cpu(), mask) for parts in zip(*seen, strict=True))
    return Rollouts(
        pairs=pairs,
        samples=samples,
        scores=scores,
        kept=kept,
        response_mask=mask,
        logprobs=logprobs,
        entropy=entropy,
        values=values,
        sampler_logprobs=padded(torch.tensor([x for s in samples for x in s.logprobs]), mask),
        reference_logprobs=padded(torch.cat(reference), mask),
        finished=torch.tensor([s.finished for s in samples]),
        rewards=torch.zeros(mask.shape),
        advantages=torch.zeros(mask.shape),
        returns=torch.zeros(mask.shape),
        importance=mask.float(),
    )


def judged(score: Score, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Scores `(B,)`, and those of constrained perspectives `(C, B)`, of which most runs have none."""
    if isinstance(score, ConstrainedScore):
        return score.judge(pairs)
    return score(pairs), torch.zeros(0, len(pairs))


def look_at(actors: Actors, pairs: Sequence[Pair], settings: OnlineSettings) -> Seen:
    """The policy's log-probability, entropy and value at each response token of all pairs."""
    trunk = actors.policy
    hidden, targets = predicting(trunk, pairs)
    logprobs, entropy = trunk.token_logprobs(hidden, targets, settings.temperature)
    if actors.value is None:
        return Seen(logprobs, entropy, torch.zeros_like(logprobs))
    seen_by_value = hidden if actors.value_trains_trunk else hidden.detach()
    return Seen(logprobs, entropy, actors.value(seen_by_value))


def shape(
    rollouts: Rollouts, objective: RewardObjective, coefficient: float, baseline: Tensor | float = 0.0
) -> None:
    """Fill in rewards a token and importance weights.

    The score less its `baseline` (`(B,)` or one for all) stands at the end, the KL penalty at each token.
    """
    mask = rollouts.response_mask
    rollouts.rewards = shape_rewards(
        rollouts.scores - baseline,
        ESTIMATORS[objective.kl_estimator](rollouts.logprobs, rollouts.reference_logprobs),
        mask,
        rollouts.finished,
        kl_coefficient=coefficient,
        no_end_penalty=objective.no_end_penalty,
    )
    rollouts.importance = truncated_importance_weights(
        rollouts.logprobs, rollouts.sampler_logprobs, mask, objective.truncated_importance
    )


def reward_whole(rollouts: Rollouts, scores: Tensor, no_end_penalty: float) -> Tensor:
    """Fill in the reward of each response at its last token, without a KL penalty; returns them, `(B,)`."""
    rollouts.rewards = shape_rewards(
        scores,
        torch.zeros_like(rollouts.logprobs),
        rollouts.response_mask,
        rollouts.finished,
        kl_coefficient=0.0,
        no_end_penalty=no_end_penalty,
    )
    return rollouts.rewards.sum(1)


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


@dataclass
class Run:
    """A run as it stands: what a checkpoint brings back, what it is made with, and where it is told."""

    actors: Actors
    held_out: Sequence[Sequence[int]]
    settings: OnlineSettings
    folder: Path
    recorder: Recorder
    seed: int
    optimizer: Optimizer
    controller: Controller
    iteration: int = 0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    began: float = field(default_factory=time.perf_counter)

    @property
    def goes_on(self) -> bool:
        """Whether there are iterations left and the KL to the reference has not passed `stop_kl`."""
        limit = math.inf if self.settings.stop_kl is None else self.settings.stop_kl
        seen = (self.metrics.get(name, 0.0) for name in ("kl_k1", "held_out_kl"))
        return self.iteration < self.settings.iterations and not any(kl > limit for kl in seen)


def begin(
    actors: Actors,
    held_out: Sequence[Sequence[int]],
    settings: OnlineSettings,
    controller: Controller,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> Run:
    """A run from its start, or from the checkpoint in `folder` if there is one."""
    steps = settings.iterations * settings.epochs * settings.minibatches
    body = trainable(actors.policy, actors.adapter)
    optimizer = Optimizer(body, settings.optim, steps, actors.heads())
    run = Run(actors, held_out, settings, folder, recorder, seed, optimizer, controller)
    saved = load_checkpoint(folder)
    recorder.rewind(int(saved["iteration"]) if saved else -1)
    if saved is not None:
        optimizer.restore(saved["optimizer"])
        run.controller = type(controller).from_state(saved["controller"])
        run.iteration, run.metrics = int(saved["iteration"]), dict(saved["metrics"])
        if isinstance(actors.score, ConstrainedScore):
            actors.score.restore(saved["constraints"])
    return run


def finish(run: Run, rollouts: Rollouts, updated: Mapping[str, float]) -> None:
    """The end of an iteration: steer KL coefficient and multipliers, look at held-out prompts, record, checkpoint."""
    settings, score = run.settings, run.actors.score
    metrics = {**summarise(rollouts, run.controller.coefficient), **updated}
    run.controller.update(metrics["kl_k1"], len(rollouts.samples))
    if isinstance(score, ConstrainedScore):
        metrics |= score.update(rollouts.kept)
    run.iteration += 1
    metrics["tokens_per_second"] = rollouts.num_tokens / (time.perf_counter() - run.began)
    run.metrics = metrics
    if run.held_out and (not run.goes_on or run.iteration % settings.evaluate_every == 0):
        metrics |= look(run.actors, run.held_out, settings, run.seed)
    run.recorder.log(run.iteration, **metrics)
    write_rollouts(run.folder, run.iteration, rollouts)
    if run.iteration % settings.checkpoint_every == 0:
        state = {"optimizer": run.optimizer.state(), "controller": run.controller.state()}
        if isinstance(score, ConstrainedScore):
            state["constraints"] = score.state()
        save_checkpoint(run.folder, {**state, "iteration": run.iteration, "metrics": metrics})
    note = f"reward {metrics['reward_mean']:+.2f}  KL {metrics['kl_k1']:.2f}"
    run.recorder.progress(run.iteration, settings.iterations, rollouts.num_tokens, note=note)
    run.began = time.perf_counter()


def make_controller(objective: RewardObjective) -> Controller:
    """The controller of the KL coefficient that the recipe names."""
    o = objective
    controllers: dict[str, Controller] = {
        "fixed": kls.FixedKl(o.kl_coefficient),
        "adaptive": kls.AdaptiveKl(o.kl_coefficient, target=o.kl_target, horizon=o.kl_horizon),
        "target": kls.TargetKl(o.kl_coefficient, target=o.kl_target, gain=o.kl_gain),
    }
    return controllers[o.kl_controller]


def within(pairs: Sequence[Pair], budget: int) -> list[list[int]]:
    """Indices of pairs in groups of at most `budget` tokens."""
    return list(by_tokens([len(p) + len(r) for p, r in pairs], budget))
