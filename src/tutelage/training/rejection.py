"""Rejection sampling fine-tuning: sample several responses to a prompt, keep the best, learn to say that.

Takes prompts, a policy, a reference and a function that scores responses; leaves the policy in place (RAFT,
Dong et al. 2023; Llama 2, Touvron et al. 2023, section 3.2.3). The loss is supervised fine-tuning's, on the
policy's own best responses. No penalty holds the policy near the reference: how far it goes is decided by
the number of iterations. One of them, learnt to the end, leaves best of K of the policy before it, and so k
of them best of K^k of the reference (`stats.best_of_n`); in the limit only the highest score is left. What a
step does not learn to the end stays behind that.

    sample -> score -> keep_best -> update -> record -> checkpoint

Left out on purpose: best responses of earlier iterations, which Llama 2 mixes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tutelage.core.method_settings import RejectionSettings
from tutelage.core.recorder import Recorder
from tutelage.objectives.kl import FixedKl
from tutelage.objectives.language import token_nll_loss
from tutelage.objectives.policy import policy_ratio
from tutelage.training.loop import derived_seed
from tutelage.training.online import Actors, Seen, begin, collect, finish, pick_prompts, reward_whole
from tutelage.training.rollouts import FlatRollouts, Rollouts
from tutelage.training.update import Step, update


def train_rejection(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    settings: RejectionSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy in place. Returns the metrics of the last iteration."""
    run = begin(actors, held_out, settings, FixedKl(0.0), folder=folder, recorder=recorder, seed=seed)
    group = settings.responses_per_prompt
    while run.goes_on:
        chosen = pick_prompts(prompts, settings.rollouts // group, seed, run.iteration)
        rollouts = collect(actors, chosen, settings, derived_seed(seed, run.iteration), group)
        kept = keep_best(rollouts, settings)
        finish(run, rollouts, {**kept, **update(run, rollouts, likelihood_loss)})
    return run.metrics


def keep_best(rollouts: Rollouts, settings: RejectionSettings) -> dict[str, float]:
    """Keep the best response to each prompt to learn from, or to the best share of prompts; says what is kept.

    Of responses that score alike the first counts as the best.
    """
    rewards = reward_whole(rollouts, rollouts.scores, settings.no_end_penalty)
    best, place = rewards.view(-1, settings.responses_per_prompt).max(1)
    ranked = best.argsort(descending=True, stable=True)[: settings.learnt].tolist()
    lowest = -torch.inf if settings.min_score is None else settings.min_score
    kept = [i for i in ranked if best[i] >= lowest]
    rollouts.members = sorted(i * settings.responses_per_prompt + int(place[i]) for i in kept)
    told = {"best_reward": float(best.mean()), "kept_share": len(kept) / len(best)}
    return told | ({"kept_reward": float(best[kept].mean())} if kept else {})


def likelihood_loss(seen: Seen, old: FlatRollouts, num_tokens: int) -> Step:
    """The mean negative log-likelihood of the kept responses, at the temperature that they were sampled at."""
    everywhere = torch.ones_like(seen.logprobs, dtype=torch.bool)
    loss = token_nll_loss(seen.logprobs, everywhere, num_tokens).loss
    moved = policy_ratio(seen.logprobs, old.logprobs, everywhere, num_tokens)
    sums = {"train_loss": loss, "approx_kl": moved.approx_kl, "ratio_mean": moved.ratio_mean}
    return Step(loss, sums, moved.ratio_min, moved.ratio_max)
