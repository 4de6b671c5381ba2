"""RLOO: REINFORCE with the mean of the other responses to a prompt as baseline, and no value head.

Takes prompts, a policy, a reference and a function that scores responses. A whole response is one action
(Ahmadian et al. 2024, "Back to Basics"): its reward is the score less the KL penalty of all its tokens,
and its advantage is what it has over the other responses to its prompt. With `epochs` above 1 the ratio of
each token is clipped as in PPO. Left out on purpose: clipping the ratio of whole responses.

    sample -> score -> estimate_advantages -> update -> record -> checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tutelage.core.method_settings import RlooSettings
from tutelage.core.recorder import Recorder
from tutelage.objectives.groups import leave_one_out_advantages, token_weights_by_constant
from tutelage.objectives.policy import ppo_policy_loss
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


def train_rloo(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    settings: RlooSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy in place. Returns the metrics of the last iteration."""
    controller = make_controller(settings.objective)
    run = begin(actors, held_out, settings, controller, folder=folder, recorder=recorder, seed=seed)
    group, limit = settings.responses_per_prompt, actors.policy.contract.max_response
    while run.goes_on:
        chosen = pick_prompts(prompts, settings.rollouts // group, seed, run.iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, run.iteration), group)
        estimate_advantages(rollouts, settings, run.controller.coefficient)
        weigh = lambda mask: token_weights_by_constant(mask, limit)  # noqa: E731
        finish(run, rollouts, update(run, rollouts, rloo_loss(settings), weigh))
    return run.metrics


def estimate_advantages(rollouts: Rollouts, settings: RlooSettings, coefficient: float) -> None:
    """Fill in rewards a token, and the advantage of each response at all of its tokens."""
    shape(rollouts, settings.objective, coefficient)
    whole = rollouts.rewards.sum(1).view(-1, settings.responses_per_prompt)
    rollouts.advantages = leave_one_out_advantages(whole).reshape(-1, 1) * rollouts.response_mask


def rloo_loss(settings: RlooSettings) -> TokenLoss:
    """The clipped policy loss, summed over a response and averaged over responses, up to a constant."""

    def loss_of(seen: Seen, old: FlatRollouts, num_tokens: int) -> Step:
        policy = ppo_policy_loss(
            seen.logprobs,
            old.logprobs,
            old.advantages,
            torch.ones_like(seen.logprobs, dtype=torch.bool),
            settings.objective.clip,
            old.importance,
            num_tokens,
            token_weights=old.weights,
        )
        return Step(policy.loss, policy_diagnostics(policy), policy.ratio_min, policy.ratio_max)

    return loss_of
