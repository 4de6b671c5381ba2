"""Proximal policy optimisation against a reward, held near a reference by the KL divergence.

Takes prompts, a policy, a reference, a value head and a function that scores responses; leaves the
policy in place and its metrics, checkpoints and rollouts in the folder. The order is that of Ouyang et
al. (2022), appendix C.4, and of Huang et al. (2024), "The N+ implementation details of RLHF with PPO":

    sample -> score -> shape_rewards -> estimate_advantages -> update -> record -> checkpoint

The reward's last word comes at the end of a response and the KL penalty at each token; advantages by
generalised advantage estimation, whitened; ratio and value clipped; where the sampler's probabilities
differ from the trainer's, the loss is weighted by their truncated ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tutelage.core.recipe import PpoSettings
from tutelage.core.recorder import Recorder
from tutelage.models.heads import ScalarHead
from tutelage.models.packed import by_tokens
from tutelage.models.scoring import Pair, joined, predictors, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.objectives import kl as kls
from tutelage.objectives.gae import gae
from tutelage.objectives.masked import masked_whiten
from tutelage.objectives.policy import ppo_policy_loss, truncated_importance_weights
from tutelage.objectives.shaping import shape_rewards
from tutelage.objectives.value import clipped_value_loss, explained_variance
from tutelage.sampling.sampler import Sampler, SamplingSettings
from tutelage.training.loop import Optimizer, derived_seed, permutation, require_finite
from tutelage.training.resume import load_checkpoint, save_checkpoint
from tutelage.training.rollouts import Rollouts, padded, write_rollouts
from tutelage.training.sft import trainable

ESTIMATORS = {"k1": kls.kl_k1, "k2": kls.kl_k2, "k3": kls.kl_k3}
Score = Callable[[Sequence[Pair]], Tensor]
"""Scores `(B,)` of (prompt, response) pairs, on the CPU."""


@dataclass
class Actors:
    """Who takes part. In adapter mode policy and reference are one trunk with different adapters."""

    policy: Trunk
    adapter: str | None
    reference: Trunk
    reference_adapter: str | None
    value: ScalarHead
    sampler: Sampler
    score: Score

    def parameters(self) -> list[nn.Parameter]:
        return [*trainable(self.policy, self.adapter), self.value.weight]


def train_ppo(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    settings: PpoSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy and value head in place. Returns the metrics of the last iteration."""
    minibatches = -(-settings.rollouts // settings.minibatch)
    steps = settings.iterations * settings.epochs * minibatches
    optimizer = Optimizer(actors.parameters(), settings.optim, steps)
    iteration, metrics, controller = _resume(folder, optimizer, settings, recorder)
    while iteration < settings.iterations:
        started = time.perf_counter()
        chosen = pick_prompts(prompts, settings.rollouts, seed, iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, iteration))
        estimate_advantages(rollouts, settings, controller.coefficient)
        updated = update(actors, rollouts, settings, optimizer, iteration, seed)
        metrics = {**summarise(rollouts, controller.coefficient), **updated}
        controller.update(metrics["kl_k1"], len(rollouts.samples))
        iteration += 1
        metrics["tokens_per_second"] = rollouts.num_tokens / (time.perf_counter() - started)
        if held_out and (iteration % settings.evaluate_every == 0 or iteration == settings.iterations):
            metrics |= look(actors, held_out, settings, seed)
        recorder.log(iteration, **metrics)
        write_rollouts(folder, iteration, rollouts)
        if iteration % settings.checkpoint_every == 0:
            _checkpoint(folder, optimizer, controller, iteration, metrics)
        note = f"reward {metrics['reward_mean']:+.2f}  KL {metrics['kl_k1']:.2f}"
        recorder.progress(iteration, settings.iterations, rollouts.num_tokens, note=note)
    return metrics


def pick_prompts(
    prompts: Sequence[Sequence[int]], count: int, seed: int, iteration: int
) -> list[Sequence[int]]:
    """The prompts of one iteration: passes over all of them, each pass in an order of its own."""
    first = iteration * count
    places = range(first, first + count)
    orders = {turn: permutation(len(prompts), seed, turn) for turn in {p // len(prompts) for p in places}}
    return [prompts[orders[p // len(prompts)][p % len(prompts)]] for p in places]


def collect(actors: Actors, prompts: Sequence[Sequence[int]], settings: PpoSettings, seed: int) -> Rollouts:
    """Sample one response a prompt and look at it with everyone's eyes: reward, policy, value, reference."""
    limit = actors.policy.contract.max_response
    how = SamplingSettings(max_new_tokens=limit, temperature=settings.temperature, seed=seed)
    samples = [group[0] for group in actors.sampler.sample(prompts, how)]
    pairs: list[Pair] = [(p, s.ids) for p, s in zip(prompts, samples, strict=True)]
    budget = settings.optim.micro_batch_tokens
    scores = actors.score(pairs)
    with torch.no_grad(), actors.policy.using(actors.adapter):
        seen = [forward(actors, [pairs[i] for i in g], settings) for g in _groups(pairs, budget)]
    with actors.reference.using(actors.reference_adapter):
        reference = response_logprobs(
            actors.reference, pairs, temperature=settings.temperature, max_tokens=budget
        )
    lengths = [len(s.ids) for s in samples]
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    flat = [torch.cat([part[k].cpu() for part in seen]) for k in range(3)]
    return Rollouts(
        pairs=pairs,
        samples=samples,
        scores=scores,
        response_mask=mask,
        logprobs=padded(flat[0], mask),
        entropy=padded(flat[1], mask),
        values=padded(flat[2], mask),
        sampler_logprobs=padded(torch.tensor([x for s in samples for x in s.logprobs]), mask),
        reference_logprobs=padded(torch.cat(reference), mask),
        finished=torch.tensor([s.finished for s in samples]),
    )


def forward(actors: Actors, pairs: Sequence[Pair], settings: PpoSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability, entropy and value at each response token of all pairs, `(M,)` each."""
    trunk = actors.policy
    rows, targets = predictors(pairs, trunk.device)
    hidden = trunk.hidden(joined(pairs, trunk.device))[rows]
    logprobs, entropy = trunk.token_logprobs(hidden, targets, settings.temperature)
    seen_by_value = hidden if settings.value_trains_trunk else hidden.detach()
    return logprobs, entropy, actors.value(seen_by_value)


def estimate_advantages(rollouts: Rollouts, settings: PpoSettings, coefficient: float) -> None:
    """Fill in shaped rewards, advantages, returns and importance weights of the rollouts."""
    o, mask = settings.objective, rollouts.response_mask
    kl = ESTIMATORS[o.kl_estimator](rollouts.logprobs, rollouts.reference_logprobs)
    rollouts.rewards = shape_rewards(
        rollouts.scores,
        kl,
        mask,
        rollouts.finished,
        kl_coefficient=coefficient,
        no_end_penalty=o.no_end_penalty,
    )
    advantages, returns = gae(rollouts.rewards, rollouts.values, mask, o.gamma, o.gae_lambda)
    rollouts.advantages = masked_whiten(advantages, mask) if o.whiten_advantages else advantages
    rollouts.returns = returns
    rollouts.importance = truncated_importance_weights(
        rollouts.logprobs, rollouts.sampler_logprobs, mask, o.truncated_importance
    )


def update(
    actors: Actors,
    rollouts: Rollouts,
    settings: PpoSettings,
    optimizer: Optimizer,
    iteration: int,
    seed: int,
) -> dict[str, float]:
    """Several passes over the rollouts in minibatches; stops early when the policy has moved too far."""
    count = len(rollouts.samples)
    minibatches = -(-count // settings.minibatch)
    done: list[dict[str, float]] = []
    for epoch in range(settings.epochs):
        order = permutation(count, seed, (iteration + 1) * 1000 + epoch)
        for number, start in enumerate(range(0, count, settings.minibatch)):
            step = (iteration * settings.epochs + epoch) * minibatches + number
            chosen = order[start : start + settings.minibatch]
            done.append(accumulate(actors, rollouts, chosen, settings, step))
            done[-1]["grad_norm"], done[-1]["learning_rate"] = optimizer.step(step)
        limit = settings.objective.max_update_kl
        if limit is not None and done[-1]["approx_kl"] > limit:
            break
    means = {key: sum(d[key] for d in done) / len(done) for key in done[0]}
    means["ratio_max"] = max(d["ratio_max"] for d in done)
    means["ratio_min"] = min(d["ratio_min"] for d in done)
    return means | {"updates": float(len(done)), "approx_kl_last": done[-1]["approx_kl"]}


def accumulate(
    actors: Actors, rollouts: Rollouts, chosen: Sequence[int], settings: PpoSettings, step: int
) -> dict[str, float]:
    """Add the gradient of one minibatch, a micro-batch at a time; returns its diagnostics."""
    o = settings.objective
    num_tokens = int(rollouts.response_mask[list(chosen)].sum())
    sums: dict[str, float] = {}
    extremes: list[tuple[float, float]] = []
    with actors.policy.using(actors.adapter):
        for group in _groups([rollouts.pairs[i] for i in chosen], settings.optim.micro_batch_tokens):
            members = [chosen[i] for i in group]
            logprobs, entropy, values = forward(actors, [rollouts.pairs[i] for i in members], settings)
            old = rollouts.flat(members, actors.policy.device)
            everywhere = torch.ones_like(logprobs, dtype=torch.bool)
            # With the minibatch's own denominator, losses and diagnostics of micro-batches add up.
            policy = ppo_policy_loss(
                logprobs, old.logprobs, old.advantages, everywhere, o.clip, old.importance, num_tokens
            )
            value = clipped_value_loss(values, old.values, old.returns, everywhere, o.value_clip, num_tokens)
            loss = policy.loss + o.value_coefficient * value.loss
            require_finite(loss, "PPO", step)
            loss.backward()
            seen = {
                "policy_loss": policy.loss,
                "value_loss": value.loss,
                "clip_fraction": policy.clip_fraction,
                "value_clip_fraction": value.clip_fraction,
                "approx_kl": policy.approx_kl,
                "ratio_mean": policy.ratio_mean,
                "entropy": entropy.sum() / num_tokens,
            }
            for key, number in seen.items():
                sums[key] = sums.get(key, 0.0) + float(number.detach())
            extremes.append((float(policy.ratio_min), float(policy.ratio_max)))
    return sums | {"ratio_min": min(e[0] for e in extremes), "ratio_max": max(e[1] for e in extremes)}


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
        "explained_variance": float(explained_variance(rollouts.values, rollouts.returns, mask)),
        "response_length": float(mask.sum()) / per,
        "end_rate": float(rollouts.finished.float().mean()),
        "sampler_gap": float(gap[mask].max()),
        "importance_mean": float(rollouts.importance[mask].mean()),
    }


def look(
    actors: Actors, held_out: Sequence[Sequence[int]], settings: PpoSettings, seed: int
) -> dict[str, float]:
    """Reward and KL on prompts that are never trained on, with the same draws at every look."""
    seen = collect(actors, held_out, settings, derived_seed(seed, 999_983))
    k1 = kls.kl_k1(seen.logprobs, seen.reference_logprobs)[seen.response_mask].sum()
    return {
        "held_out_reward": float(seen.scores.mean()),
        "held_out_kl": float(k1) / len(held_out),
        "held_out_end_rate": float(seen.finished.float().mean()),
    }


def make_controller(
    settings: PpoSettings, saved: dict[str, float] | None = None
) -> kls.FixedKl | kls.AdaptiveKl:
    """The controller of the KL coefficient that the recipe names, as it was saved if it was."""
    o = settings.objective
    if o.kl_controller == "fixed":
        return kls.FixedKl.from_state(saved) if saved else kls.FixedKl(o.kl_coefficient)
    if saved:
        return kls.AdaptiveKl.from_state(saved)
    return kls.AdaptiveKl(o.kl_coefficient, target=o.kl_target, horizon=o.kl_horizon)


def _groups(pairs: Sequence[Pair], budget: int) -> list[list[int]]:
    return list(by_tokens([len(p) + len(r) for p, r in pairs], budget))


def _checkpoint(
    folder: Path,
    optimizer: Optimizer,
    controller: kls.FixedKl | kls.AdaptiveKl,
    iteration: int,
    metrics: dict[str, float],
) -> None:
    state = {"optimizer": optimizer.state(), "controller": controller.state()}
    save_checkpoint(folder, {**state, "iteration": iteration, "metrics": metrics})


def _resume(
    folder: Path, optimizer: Optimizer, settings: PpoSettings, recorder: Recorder
) -> tuple[int, dict[str, float], kls.FixedKl | kls.AdaptiveKl]:
    saved = load_checkpoint(folder)
    recorder.rewind(int(saved["iteration"]) if saved else -1)
    if saved is None:
        return 0, {}, make_controller(settings)
    optimizer.restore(saved["optimizer"])
    return int(saved["iteration"]), dict(saved["metrics"]), make_controller(settings, saved["controller"])
