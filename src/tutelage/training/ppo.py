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
from collections.abc import Sequence
from pathlib import Path

import torch

from tutelage.core.recorder import Recorder
from tutelage.core.settings import PpoSettings
from tutelage.objectives import kl as kls
from tutelage.objectives.gae import gae
from tutelage.objectives.masked import masked_whiten
from tutelage.objectives.policy import ppo_policy_loss, truncated_importance_weights
from tutelage.objectives.shaping import shape_rewards
from tutelage.objectives.value import clipped_value_loss, explained_variance
from tutelage.training.loop import Optimizer, derived_seed
from tutelage.training.online import (
    ESTIMATORS,
    Actors,
    Controller,
    Seen,
    collect,
    due,
    go_on,
    keep,
    look,
    pick_prompts,
    summarise,
)
from tutelage.training.rollouts import FlatRollouts, Rollouts, write_rollouts
from tutelage.training.update import Step, TokenLoss, update


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
    iteration, metrics, controller = go_on(folder, optimizer, make_controller(settings), recorder)
    loss_of = ppo_loss(settings)
    while iteration < settings.iterations:
        started = time.perf_counter()
        chosen = pick_prompts(prompts, settings.rollouts, seed, iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, iteration))
        estimate_advantages(rollouts, settings, controller.coefficient)
        updated = update(
            actors, rollouts, settings, optimizer, iteration=iteration, seed=seed, loss_of=loss_of
        )
        metrics = {**summarise(rollouts, controller.coefficient), **updated}
        metrics["explained_variance"] = float(
            explained_variance(rollouts.values, rollouts.returns, rollouts.response_mask)
        )
        controller.update(metrics["kl_k1"], len(rollouts.samples))
        iteration += 1
        metrics["tokens_per_second"] = rollouts.num_tokens / (time.perf_counter() - started)
        if held_out and due(settings, iteration):
            metrics |= look(actors, held_out, settings, seed)
        recorder.log(iteration, **metrics)
        write_rollouts(folder, iteration, rollouts)
        if iteration % settings.checkpoint_every == 0:
            keep(folder, optimizer, controller, iteration, metrics)
        note = f"reward {metrics['reward_mean']:+.2f}  KL {metrics['kl_k1']:.2f}"
        recorder.progress(iteration, settings.iterations, rollouts.num_tokens, note=note)
    return metrics


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


def ppo_loss(settings: PpoSettings) -> TokenLoss:
    """The clipped policy loss and the clipped value loss of a micro-batch (Schulman et al. 2017, eq. 9)."""
    o = settings.objective

    def loss_of(seen: Seen, old: FlatRollouts, num_tokens: int) -> Step:
        everywhere = torch.ones_like(seen.logprobs, dtype=torch.bool)
        policy = ppo_policy_loss(
            seen.logprobs, old.logprobs, old.advantages, everywhere, o.clip, old.importance, num_tokens
        )
        value = clipped_value_loss(seen.values, old.values, old.returns, everywhere, o.value_clip, num_tokens)
        sums = {
            "policy_loss": policy.loss,
            "value_loss": value.loss,
            "clip_fraction": policy.clip_fraction,
            "value_clip_fraction": value.clip_fraction,
            "approx_kl": policy.approx_kl,
            "ratio_mean": policy.ratio_mean,
        }
        loss = policy.loss + o.value_coefficient * value.loss
        return Step(loss, sums, policy.ratio_min, policy.ratio_max)

    return loss_of


def make_controller(settings: PpoSettings) -> Controller:
    """The controller of the KL coefficient that the recipe names."""
    o = settings.objective
    if o.kl_controller == "fixed":
        return kls.FixedKl(o.kl_coefficient)
    return kls.AdaptiveKl(o.kl_coefficient, target=o.kl_target, horizon=o.kl_horizon)
