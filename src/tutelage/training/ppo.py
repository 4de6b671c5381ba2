"""Proximal policy optimisation against a reward, held near a reference by the KL divergence.

Takes prompts, a policy, a reference, a value head and a function that scores responses; leaves the
policy in place and its metrics, checkpoints and rollouts in the folder. The order is that of Ouyang et
al. (2022), appendix C.4, and of Huang et al. (2024), "The N+ implementation details of RLHF with PPO":

    sample -> score -> shape_rewards -> estimate_advantages -> update -> record -> checkpoint

The reward's last word comes at the end of a response and the KL penalty at each token; advantages by
generalised advantage estimation, whitened; ratio and value clipped; where the sampler's probabilities
differ from the trainer's, the loss is weighted by their truncated ratio. With `pretraining_coefficient` the
loss on some demonstrations or pretraining text is added to each minibatch's, so that what PPO does not reward
is not forgotten (PPO-ptx, their section 3.5).

With several responses a prompt, each score is told against the mean of the others' (as RLOO does), which
does not change what is optimal: the response that it is taken from has no part in it.

A value head starts at zero. Until it knows that some prompts score lower than others, whatever is said
more often to those prompts is taken for bad; `value_warmup` lets it learn that first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.core.method_settings import PpoSettings
from tutelage.core.recorder import Recorder
from tutelage.models.scoring import Pair
from tutelage.objectives.gae import gae
from tutelage.objectives.groups import leave_one_out_advantages
from tutelage.objectives.masked import masked_whiten
from tutelage.objectives.policy import ppo_policy_loss
from tutelage.objectives.value import clipped_value_loss, explained_variance
from tutelage.training import sft
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
from tutelage.training.update import Beside, Step, TokenLoss, policy_diagnostics, update

_PRETRAINING = 999_979
"""The turn whose seed the order of the pretraining rows has."""


def train_ppo(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    settings: PpoSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
    pretraining: Sequence[Pair] = (),
) -> dict[str, float]:
    """Train the policy and value head in place. Returns the metrics of the last iteration.

    `pretraining` are rows of tokens for PPO-ptx: what is given, and what is learnt to follow it (a prompt and
    its response, or the first token of a text and the rest).
    """
    mixed_in = pretraining_mix(actors, pretraining, settings, seed)
    controller = make_controller(settings.objective)
    run = begin(actors, held_out, settings, controller, folder=folder, recorder=recorder, seed=seed)
    group = settings.responses_per_prompt
    while run.goes_on:
        chosen = pick_prompts(prompts, settings.rollouts // group, seed, run.iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, run.iteration), group)
        estimate_advantages(rollouts, settings, run.controller.coefficient)
        learns = run.iteration >= settings.value_warmup
        beside = mixed_in if learns else None
        updated = update(run, rollouts, ppo_loss(settings, policy_learns=learns), beside=beside)
        explained = explained_variance(rollouts.values, rollouts.returns, rollouts.response_mask)
        finish(run, rollouts, {**updated, "explained_variance": float(explained)})
    return run.metrics


def estimate_advantages(rollouts: Rollouts, settings: PpoSettings, coefficient: float) -> None:
    """Fill in shaped rewards, advantages, returns and importance weights of the rollouts."""
    o, mask = settings.objective, rollouts.response_mask
    shape(rollouts, o, coefficient, others_mean(rollouts.scores, settings.responses_per_prompt))
    advantages, returns = gae(rollouts.rewards, rollouts.values, mask, o.gamma, o.gae_lambda)
    rollouts.advantages = masked_whiten(advantages, mask) if o.whiten_advantages else advantages
    rollouts.returns = returns


def others_mean(scores: Tensor, group: int) -> Tensor:
    """The mean score of the other responses to the same prompt, `(B,)`; 0 where each stands alone."""
    if group == 1:
        return torch.zeros_like(scores)
    return scores - leave_one_out_advantages(scores.view(-1, group)).flatten()


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


def pretraining_mix(actors: Actors, rows: Sequence[Pair], settings: PpoSettings, seed: int) -> Beside | None:
    """Adds the gradient of `pretraining_coefficient` times the mean loss a token on some rows; None if it is 0.

    That is gamma E[log pi(x)] of Ouyang et al. (2022), eq. 2, with gradients added up as in their appendix
    C.4. Each minibatch takes as many rows as it has responses (they took eight times as many), and all rows
    have their turn. The weight is against PPO's own loss, which is also a mean over tokens.

    Raises `DataError` if there is no row to learn from.
    """
    weight = settings.objective.pretraining_coefficient
    if weight == 0:
        return None
    if not rows:
        raise DataError(
            f"ppo.objective.pretraining_coefficient is {weight:g} and there are no rows to learn beside PPO: "
            "name some under data.demonstrations, or set it to 0"
        )

    def beside(step: int) -> dict[str, float]:
        batch = pick_prompts(rows, settings.minibatch, derived_seed(seed, _PRETRAINING), step)
        with actors.policy.using(actors.adapter):
            loss = sft.accumulate(actors.policy, batch, settings.optim.micro_batch_tokens, step, weight)
        return {"pretraining_loss": loss}

    return beside
