"""GRPO: responses to one prompt are compared with each other, and the KL to the reference is in the loss.

Takes prompts, a policy, a reference and a function that scores responses (Shao et al. 2024,
"DeepSeekMath", section 4.1). The corrections that followed are settings: advantages without the group's
deviation and a constant denominator (Liu et al. 2025, Dr. GRPO, the default here), a mean over tokens, a
higher upper clip, an overlong penalty, and leaving out prompts that teach nothing (Yu et al. 2025, DAPO).
Left out on purpose: drawing more prompts in the place of those left out; an iteration is then smaller.

What it converges to is not PPO's optimum: with `kl_estimator` k3 the gradient is that of
KL(reference || policy) (see `objectives.policy.kl_penalty_loss`), with k2 that of KL(policy || reference).

    sample -> score -> estimate_advantages -> update -> record -> checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.method_settings import GrpoSettings
from tutelage.core.recorder import Recorder
from tutelage.objectives import groups
from tutelage.objectives.kl import FixedKl
from tutelage.objectives.policy import kl_penalty_loss, ppo_policy_loss, truncated_importance_weights
from tutelage.training.loop import derived_seed
from tutelage.training.online import (
    ESTIMATORS,
    Actors,
    Seen,
    begin,
    collect,
    finish,
    pick_prompts,
    reward_whole,
)
from tutelage.training.rollouts import FlatRollouts, Rollouts
from tutelage.training.update import Step, TokenLoss, Weigh, policy_diagnostics, update

ADVANTAGES = {
    "normalised": groups.group_normalised_advantages,
    "centred": groups.group_centred_advantages,
}


def train_grpo(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    settings: GrpoSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy in place. Returns the metrics of the last iteration."""
    controller = FixedKl(settings.objective.kl_coefficient)
    run = begin(actors, held_out, settings, controller, folder=folder, recorder=recorder, seed=seed)
    group, limit = settings.responses_per_prompt, actors.policy.contract.max_response
    while run.goes_on:
        chosen = pick_prompts(prompts, settings.rollouts // group, seed, run.iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, run.iteration), group)
        estimate_advantages(rollouts, settings, limit)
        finish(run, rollouts, update(run, rollouts, grpo_loss(settings), weigh_tokens(settings, limit)))
    return run.metrics


def estimate_advantages(rollouts: Rollouts, settings: GrpoSettings, limit: int) -> None:
    """Fill in the reward of each response at its last token, and its advantage at all of its tokens."""
    o, mask = settings.objective, rollouts.response_mask
    scores = rollouts.scores
    if o.overlong_buffer is not None:
        scores = scores + groups.soft_overlong_penalty(mask.sum(1), limit, min(o.overlong_buffer, limit))
    grouped = reward_whole(rollouts, scores, o.no_end_penalty).view(-1, settings.responses_per_prompt)
    compare = ADVANTAGES[o.advantages]
    rollouts.advantages = compare(grouped).reshape(-1, 1) * mask
    rollouts.importance = truncated_importance_weights(
        rollouts.logprobs, rollouts.sampler_logprobs, mask, o.truncated_importance
    )
    teaches = groups.informative_groups(grouped).repeat_interleave(settings.responses_per_prompt)
    if o.drop_uninformative and bool(teaches.any()):
        rollouts.members = teaches.nonzero()[:, 0].tolist()


def grpo_loss(settings: GrpoSettings) -> TokenLoss:
    """The clipped policy loss with the KL to the reference beside it (Shao et al. 2024, eq. 3)."""
    o = settings.objective

    def loss_of(seen: Seen, old: FlatRollouts, num_tokens: int) -> Step:
        everywhere = torch.ones_like(seen.logprobs, dtype=torch.bool)
        policy = ppo_policy_loss(
            seen.logprobs,
            old.logprobs,
            old.advantages,
            everywhere,
            o.clip,
            old.importance,
            num_tokens,
            clip_high=o.clip_high,
            token_weights=old.weights,
        )
        kl = kl_penalty_loss(
            seen.logprobs,
            old.reference_logprobs,
            everywhere,
            old.weights,
            num_tokens,
            ESTIMATORS[o.kl_estimator],
        )
        loss = policy.loss + o.kl_coefficient * kl.loss
        return Step(
            loss, {**policy_diagnostics(policy), "kl_loss": kl.loss}, policy.ratio_min, policy.ratio_max
        )

    return loss_of


def weigh_tokens(settings: GrpoSettings, limit: int) -> Weigh:
    """What a token weighs, by the recipe's word; `limit` is the longest response allowed."""

    def by_constant(mask: Tensor) -> Tensor:
        return groups.token_weights_by_constant(mask, limit)

    ways: dict[str, Weigh] = {
        "token": groups.token_weights_by_token,
        "response": groups.token_weights_by_response,
        "constant": by_constant,
    }
    return ways[settings.objective.weights]
