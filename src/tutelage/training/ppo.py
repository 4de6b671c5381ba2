"""Proximal policy optimisation against a reward, held near a reference by the KL divergence.

Takes prompts, a policy, a reference, a value head and a function that scores responses; leaves the
policy in place and its metrics, checkpoints and rollouts in the folder. The order is that of Ouyang et
al. (2022), appendix C.4, and of Huang et al. (2024), "The N+ implementation details of RLHF with PPO":

    sample -> score -> shape_rewards -> estimate_advantages -> update -> record -> checkpoint

The reward's last word comes at the end of a response and the KL penalty at each token; advantages by
generalised advantage estimation, whitened; ratio and value clipped; where the sampler's probabilities
differ from the trainer's, the loss is weighted by their truncated ratio.

A value head starts at zero. Until it knows that some prompts score lower than others, whatever is said
more often to those prompts is taken for bad; `value_warmup` lets it learn that first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tutelage.core.recorder import Recorder
from tutelage.core.settings import PpoSettings
from tutelage.objectives.gae import gae
from tutelage.objectives.masked import masked_whiten
from tutelage.objectives.policy import ppo_policy_loss
from tutelage.objectives.value import clipped_value_loss, explained_variance
from tutelage.training.loop import derived_seed
from tutelage.training.online import (
    Actors,
    Seen,
    begin,
    collect,
    finish,
    make_controller,
    pick_prompts,
    shape,
)
from tutelage.training.rollouts import FlatRollouts, Rollouts
from tutelage.training.update import Step, TokenLoss, policy_diagnostics, update


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
    controller = make_controller(settings.objective)
    run = begin(actors, held_out, settings, controller, folder=folder, recorder=recorder, seed=seed)
    while run.iteration < settings.iterations:
        chosen = pick_prompts(prompts, settings.rollouts, seed, run.iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, run.iteration))
        estimate_advantages(rollouts, settings, run.controller.coefficient)
        learns = run.iteration >= settings.value_warmup
        updated = update(run, rollouts, ppo_loss(settings, policy_learns=learns))
        explained = explained_variance(rollouts.values, rollouts.returns, rollouts.response_mask)
        finish(run, rollouts, {**updated, "explained_variance": float(explained)})
    return run.metrics


def estimate_advantages(rollouts: Rollouts, settings: PpoSettings, coefficient: float) -> None:
    """Fill in shaped rewards, advantages, returns and importance weights of the rollouts."""
    o, mask = settings.objective, rollouts.response_mask
    shape(rollouts, o, coefficient)
    advantages, returns = gae(rollouts.rewards, rollouts.values, mask, o.gamma, o.gae_lambda)
    rollouts.advantages = masked_whiten(advantages, mask) if o.whiten_advantages else advantages
    rollouts.returns = returns


def ppo_loss(settings: PpoSettings, policy_learns: bool = True) -> TokenLoss:
    """The clipped policy loss and the clipped value loss of a micro-batch (Schulman et al. 2017, eq. 9).

    While the policy does not learn yet, the loss is the value head's alone.
    """
    o = settings.objective

    def loss_of(seen: Seen, old: FlatRollouts, num_tokens: int) -> Step:
        everywhere = torch.ones_like(seen.logprobs, dtype=torch.bool)
        policy = ppo_policy_loss(
            seen.logprobs, old.logprobs, old.advantages, everywhere, o.clip, old.importance, num_tokens
        )
        value = clipped_value_loss(seen.values, old.values, old.returns, everywhere, o.value_clip, num_tokens)
        sums = {
            **policy_diagnostics(policy),
            "value_loss": value.loss,
            "value_clip_fraction": value.clip_fraction,
        }
        loss = o.value_coefficient * value.loss
        loss = policy.loss + loss if policy_learns else loss
        return Step(loss, sums, policy.ratio_min, policy.ratio_max)

    return loss_of
