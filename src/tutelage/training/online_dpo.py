"""Online DPO: pairs of the policy's own responses, labelled by the reward model, in place of a fixed set.

Takes prompts, a policy, a reference and a function that scores responses; leaves the policy in place (Guo et
al. 2024, "Direct language model alignment from online AI feedback"). Of the responses to a prompt the best
and the worst are a pair, and what is learnt from them is DPO (Rafailov et al. 2023, eq. 7). What it converges
to depends on the labels:

| `labels` | better is                                                   | the optimum                        |
|----------|-------------------------------------------------------------|------------------------------------|
| soft     | the best, with probability sigmoid(r_best - r_worst)        | pi_ref exp(r / beta) / Z           |
| drawn    | the best or the worst, drawn with that probability          | the same; noisier, as raters are   |
| hard     | the best, for certain; equal rewards a tie                  | none is finite: every margin grows |

With hard labels the highest reward takes all in the end, whatever beta is, and how far the policy has gone is
decided by the number of steps. With the others any pairs would do, since each pair's loss is least where the
margin of implicit rewards is that of the rewards.

    sample -> score -> make_pairs -> update -> record -> checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.method_settings import OnlineDpoSettings
from tutelage.core.recorder import Recorder
from tutelage.models.packed import by_tokens
from tutelage.objectives.direct import implicit_reward
from tutelage.objectives.kl import FixedKl
from tutelage.objectives.policy import policy_ratio
from tutelage.objectives.preference import bradley_terry_loss
from tutelage.training.loop import derived_seed
from tutelage.training.online import Actors, begin, collect, finish, look_at, pick_prompts, reward_whole
from tutelage.training.rollouts import Rollouts
from tutelage.training.update import Step, add_up, passes

_LABELS = 999_961
"""The turn whose seed drawn labels have."""


@dataclass(frozen=True)
class OnlinePair:
    """Places in the rollouts of the best and the worst response to a prompt, and whether the best is better.

    `preference` is the probability that it is, 1/2 being a tie.
    """

    best: int
    worst: int
    preference: float


def train_online_dpo(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    settings: OnlineDpoSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
) -> dict[str, float]:
    """Train the policy in place. Returns the metrics of the last iteration."""
    controller = FixedKl(settings.beta)
    run = begin(actors, held_out, settings, controller, folder=folder, recorder=recorder, seed=seed)
    group = settings.responses_per_prompt
    while run.goes_on:
        turn = derived_seed(seed, run.iteration)
        chosen = pick_prompts(prompts, settings.rollouts // group, seed, run.iteration)
        rollouts = collect(actors, chosen, settings, turn, group)
        pairs = make_pairs(rollouts, settings, turn)
        learn = partial(learn_pairs, actors, rollouts, settings)
        finish(run, rollouts, passes(run, pairs, settings.minibatch // 2, learn))
    return run.metrics


def make_pairs(rollouts: Rollouts, settings: OnlineDpoSettings, seed: int) -> list[OnlinePair]:
    """The best and the worst response to each prompt by reward, with their label."""
    group = settings.responses_per_prompt
    rewards = reward_whole(rollouts, rollouts.scores, settings.no_end_penalty).view(-1, group)
    order = rewards.argsort(dim=1, descending=True, stable=True)
    best, worst = order[:, 0], order[:, -1]
    ahead = (rewards.gather(1, best[:, None]) - rewards.gather(1, worst[:, None]))[:, 0]
    labels = label(ahead, settings.labels, derived_seed(seed, _LABELS)).tolist()
    first = range(0, len(rollouts.samples), group)
    places = zip(first, best.tolist(), worst.tolist(), labels, strict=True)
    return [OnlinePair(i + b, i + w, p) for i, b, w, p in places]


def label(ahead: Tensor, kind: str, seed: int) -> Tensor:
    """How probably the best of each pair counts as better, `(P,)`, by how far its reward is `ahead`, `(P,)`."""
    if kind == "hard":
        return 0.5 + 0.5 * torch.sign(ahead)
    probability = torch.sigmoid(ahead)
    if kind == "soft":
        return probability
    return torch.bernoulli(probability, generator=torch.Generator().manual_seed(seed))


def learn_pairs(
    actors: Actors, rollouts: Rollouts, settings: OnlineDpoSettings, pairs: Sequence[OnlinePair], step: int
) -> dict[str, float]:
    """Add the gradient of the mean DPO loss over `pairs`, a micro-batch at a time; returns what was seen."""
    places = [(pair.best, pair.worst) for pair in pairs]
    lengths = [sum(len(p) + len(r) for p, r in (rollouts.pairs[i] for i in both)) for both in places]
    num_tokens = int(rollouts.response_mask[[i for both in places for i in both]].sum())
    groups = by_tokens(lengths, settings.optim.micro_batch_tokens)
    with actors.policy.using(actors.adapter):
        return add_up(
            (
                pair_loss(actors, rollouts, [pairs[i] for i in group], settings, len(pairs), num_tokens)
                for group in groups
            ),
            step,
        )


def pair_loss(
    actors: Actors,
    rollouts: Rollouts,
    pairs: Sequence[OnlinePair],
    settings: OnlineDpoSettings,
    num_pairs: int,
    num_tokens: int,
) -> Step:
    """DPO on a micro-batch of pairs, over the minibatch's `num_pairs` and `num_tokens`.

    Log-probabilities are at the sampling temperature, as everywhere in an online method.
    """
    members = [i for pair in pairs for i in (pair.best, pair.worst)]
    device = actors.policy.device
    seen = look_at(actors, [rollouts.pairs[i] for i in members], settings)
    old = rollouts.flat(members, device)
    lengths = rollouts.response_mask[members].sum(1).tolist()
    rewards = implicit_reward(
        torch.stack([part.sum() for part in seen.logprobs.split(lengths)]),
        torch.stack([part.sum() for part in old.reference_logprobs.split(lengths)]),
        settings.beta,
    )
    preference = torch.tensor([pair.preference for pair in pairs], device=device)
    found = bradley_terry_loss(rewards[0::2], rewards[1::2], preference, total_weight=num_pairs)
    everywhere = torch.ones_like(seen.logprobs, dtype=torch.bool)
    moved = policy_ratio(seen.logprobs, old.logprobs, everywhere, num_tokens)
    sums = {
        "loss": found.loss,
        "accuracy": found.accuracy,
        "reward_margin": found.margin,
        "implicit_reward": rewards.sum() / (2 * num_pairs),
        "approx_kl": moved.approx_kl,
        "ratio_mean": moved.ratio_mean,
        "entropy": seen.entropy.sum() / num_tokens,
    }
    return Step(found.loss, sums, moved.ratio_min, moved.ratio_max)
