"""Our side of the comparison: the same cases through the functions that our training calls.

`sft`, `reward_model`, `dpo` and `kto` are their stage's `accumulate`; the online methods go the whole way,
from sampling (the given responses) over shaping and advantages to the accumulated gradient. Micro-batches are
kept small, so that adding them up is part of what is compared. Answers have the names of `benchmarks.oracle`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tutelage.core.method_settings import DpoSettings, GrpoSettings, KtoSettings, PpoSettings, RlooSettings
from tutelage.core.settings import ModelSettings, OptimSettings, RewardSettings, TokenSettings
from tutelage.models.heads import ScalarHead
from tutelage.models.reward import RewardModel
from tutelage.models.roles import open_base
from tutelage.models.scoring import Pair, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.objectives import gae as gaes
from tutelage.objectives import groups, masked
from tutelage.sampling.sampler import Progress, Sample, SamplingSettings
from tutelage.training import dpo as dpos
from tutelage.training import grpo as grpos
from tutelage.training import kto as ktos
from tutelage.training import online, sft, update
from tutelage.training import ppo as ppos
from tutelage.training import reward_model as rewards
from tutelage.training import rloo as rloos
from tutelage.training.direct import Learner, reference_sums
from tutelage.training.ranked import RankedExample
from tutelage.training.rollouts import Rollouts

Case = Mapping[str, Any]
Answer = dict[str, Tensor]
MICRO_BATCH = 40
"""Tokens: two to four responses at a time."""
OPTIM = OptimSettings(micro_batch_tokens=MICRO_BATCH)
END = 2


class Ours:
    """Our models of one seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def weights(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")

    def trunk(self, name: str) -> Trunk:
        base = str(self.folder / "model")
        settings = ModelSettings(base=base, dtype="float32", device="cpu", tune="full")
        trunk = open_base(settings, TokenSettings())
        move(trunk, self.weights(name))
        return trunk

    def head(self, trunk: Trunk, name: str) -> ScalarHead:
        head = ScalarHead(trunk.width, trunk.device)
        with torch.no_grad():
            head.weight.copy_(self.weights("heads")[name])
        return head


def move(trunk: Trunk, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in trunk.model.named_parameters():
            parameter.copy_(weights[name])


def gradients(model: nn.Module) -> Answer:
    return {
        f"grad/{name}": torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in model.named_parameters()
    }


def of_sft(case: Case, ours: Ours) -> Answer:
    trunk = ours.trunk("policy")
    pairs = [(p, r) for p, (r,) in zip(case["prompts"], case["responses"], strict=True)]
    loss = sft.accumulate(trunk, pairs, MICRO_BATCH, 0)
    return {"loss": torch.tensor(loss), **gradients(trunk.model)}


def ranked(case: Case) -> list[RankedExample]:
    """Each prompt with two responses, the first of which is the better one."""
    return [
        RankedExample(
            prompt_id=str(i),
            category="",
            prompt=tuple(prompt),
            responses=tuple(map(tuple, responses)),
            rankings=(),
            pairs=((0, 1, 1.0, 1.0),),
            words=(0, 0),
        )
        for i, (prompt, responses) in enumerate(zip(case["prompts"], case["responses"], strict=True))
    ]


def of_reward_model(case: Case, ours: Ours) -> Answer:
    trunk = ours.trunk("policy")
    model = RewardModel(trunk, None, ours.head(trunk, "reward"))
    settings = RewardSettings(loss="bradley-terry", score_l2=0.0, optim=OPTIM)
    made = rewards.accumulate(model, ranked(case), settings, 0)
    found = {k: v for k, v in gradients(trunk.model).items() if k != "grad/lm_head.weight"}
    assert model.head.weight.grad is not None
    return {"loss": torch.tensor(made["loss"]), **found, "grad/score.weight": model.head.weight.grad}


def of_direct(case: Case, ours: Ours) -> Answer:
    wanted = dict(case["settings"])
    learner = Learner(ours.trunk("policy"), None, ours.trunk(wanted.pop("held", "reference")), None)
    examples = ranked(case)
    sums = reference_sums(learner, examples, wanted.get("length_normalised", False))
    if case["method"] == "kto":
        settings = KtoSettings(optim=OPTIM, **wanted)
        strangers = ktos.mismatched(examples)
        under = reference_sums(learner, strangers, settings.length_normalised)
        point = ktos.reference_point(learner, strangers, under, settings)
        made = ktos.accumulate(learner, examples, sums, point, settings, 0)
    else:
        made = dpos.accumulate(
            learner, examples, sums, DpoSettings(**{"loss": case["method"], **wanted, "optim": OPTIM}), 0
        )
    return {"loss": torch.tensor(made["loss"]), **gradients(learner.policy.model)}


class Given:
    """A sampler that says what the case says."""

    def __init__(self, trunk: Trunk, case: Case) -> None:
        self.trunk, self.case = trunk, case

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        num_samples: int = 1,
        on_progress: Progress | None = None,
    ) -> list[list[Sample]]:
        pairs: list[Pair] = [
            (p, r) for p, group in zip(prompts, self.case["responses"], strict=True) for r in group
        ]
        seen = response_logprobs(self.trunk, pairs, temperature=settings.temperature)
        samples = [
            Sample(tuple(response), tuple(x.tolist()), response[-1] == END)
            for (_, response), x in zip(pairs, seen, strict=True)
        ]
        return [samples[i : i + num_samples] for i in range(0, len(samples), num_samples)]


def actors_of(case: Case, ours: Ours, value: ScalarHead | None, trains_trunk: bool = False) -> online.Actors:
    """Policy at its old weights; the rewards are the case's, or with a value head a reward model's."""
    policy = ours.trunk("old")
    if value is None:
        given = torch.tensor(case["rewards"]).flatten()
        score: online.Score = lambda _: given  # noqa: E731
    else:
        trunk = ours.trunk("reference")
        score = RewardModel(trunk, None, ours.head(trunk, "reward")).scores
    sampler = Given(policy, case)
    return online.Actors(
        policy, None, ours.trunk("reference"), None, value, sampler, score, value_trains_trunk=trains_trunk
    )


def of_ppo(case: Case, ours: Ours) -> Answer:
    wanted = dict(case["settings"])
    for key in ("limit", "whole"):
        wanted.pop(key, None)
    trains_trunk = wanted.pop("value_trains_trunk")
    settings = PpoSettings(optim=OPTIM, objective=wanted)  # type: ignore[arg-type]
    start = ours.trunk("old")
    value = ours.head(start, "value_old")
    actors = actors_of(case, ours, value, trains_trunk)
    rollouts = online.collect(actors, case["prompts"], settings, 0)
    ppos.estimate_advantages(rollouts, settings, settings.objective.kl_coefficient)
    rollouts.advantages = rollouts.advantages * bessel(rollouts.response_mask)
    before = {
        "scores": earned(rollouts, settings),
        "advantages": rollouts.advantages,
        "returns": rollouts.returns,
        **with_extra_state(rollouts, actors, settings),
    }
    move(actors.policy, ours.weights("policy"))
    with torch.no_grad():
        value.weight.copy_(ours.weights("heads")["value_new"])
    made = _accumulated(actors, rollouts, settings, ppos.ppo_loss(settings))
    loss = made["policy_loss"] + settings.objective.value_coefficient * made["value_loss"]
    assert value.weight.grad is not None
    return {
        "loss": torch.tensor(loss),
        "clip_fraction": torch.tensor(made["clip_fraction"]),
        "value_clip_fraction": torch.tensor(made["value_clip_fraction"]),
        **before,
        **gradients(actors.policy.model),
        "value_grad/score.weight": value.weight.grad,
    }


def with_extra_state(rollouts: Rollouts, actors: online.Actors, settings: PpoSettings) -> Answer:
    """Advantages and returns by TRL's definition, in which a response has one state more, after its last token.

    There the score is given, and the state has a value of its own. A response as long as the longest has none.
    """
    assert actors.value is not None
    mask, o, score = rollouts.response_mask, settings.objective, earned(rollouts, settings)
    lengths, width, rows = mask.sum(1), mask.shape[1], torch.arange(len(mask))
    short = lengths < width
    longer = torch.arange(width)[None] < (lengths + 1)[:, None]
    values, moved = rollouts.values.clone(), rollouts.rewards.clone()
    after = RewardModel(actors.policy, None, actors.value).scores(rollouts.pairs)  # the value at the end
    values[short, lengths[short]] = after[short]
    moved[rows, lengths - 1] -= score
    moved[rows, torch.where(short, lengths, lengths - 1)] += score
    found = gaes.gae(moved, values, longer, o.gamma, o.gae_lambda)
    whitened = masked.masked_whiten(found.advantages, mask) * bessel(mask)
    return {"extra/returns": found.returns, "extra/advantages": whitened}


def earned(rollouts: Rollouts, settings: PpoSettings) -> Tensor:
    """Scores less the penalty of those that were cut."""
    cut = rollouts.scores - settings.objective.no_end_penalty
    return torch.where(rollouts.finished, rollouts.scores, cut)


def bessel(response_mask: Tensor) -> float:
    """What turns whitening by n into TRL's by n - 1."""
    count = int(response_mask.sum())
    return math.sqrt((count - 1) / count)


def of_grpo(case: Case, ours: Ours) -> Answer:
    wanted = dict(case["settings"])
    limit, temperature = wanted.pop("limit"), wanted.pop("temperature")
    updated, corrected = wanted.pop("updated"), wanted.pop("corrected_kl")
    if corrected:
        wanted["kl_estimator"] = "k2"  # the same gradient while the policy has not moved
    if wanted["weights"] not in ("response", "constant"):
        wanted["weights"] = "token"
    group = len(case["responses"][0])
    settings = GrpoSettings(
        optim=OPTIM,
        temperature=temperature,
        responses_per_prompt=group,
        rollouts=group * len(case["prompts"]),
        objective=wanted,  # type: ignore[arg-type]
    )
    actors = actors_of(case, ours, None)
    rollouts = online.collect(actors, case["prompts"], settings, 0, group)
    rollouts.finished[:] = True  # TRL knows no penalty for a response that was cut
    grpos.estimate_advantages(rollouts, settings, limit)
    move(actors.policy, ours.weights(updated))
    weigh = grpos.weigh_tokens(settings, limit)
    made = _accumulated(actors, rollouts, settings, grpos.grpo_loss(settings), weigh)
    loss = made["policy_loss"] + settings.objective.kl_coefficient * made["kl_loss"]
    answer = {
        "loss": torch.tensor(loss),
        "clip_fraction": torch.tensor(made["clip_fraction"]),
        "advantages": rollouts.advantages[:, 0],
        **gradients(actors.policy.model),
    }
    if corrected:
        del answer["loss"]  # the value of a k2 and of a k3 term differ; their slopes do not
    return answer


def of_rloo(case: Case, ours: Ours) -> Answer:
    wanted = dict(case["settings"])
    limit, updated = wanted.pop("limit"), wanted.pop("updated")
    group = len(case["responses"][0])
    settings = RlooSettings(
        optim=OPTIM,
        responses_per_prompt=group,
        rollouts=group * len(case["prompts"]),
        objective={**wanted, "no_end_penalty": 0.0},  # type: ignore[arg-type]
    )
    actors = actors_of(case, ours, None)
    rollouts = online.collect(actors, case["prompts"], settings, 0, group)
    rloos.estimate_advantages(rollouts, settings, settings.objective.kl_coefficient)
    move(actors.policy, ours.weights(updated))
    weigh: update.Weigh = lambda mask: groups.token_weights_by_constant(mask, limit)  # noqa: E731
    _accumulated(actors, rollouts, settings, rloos.rloo_loss(settings), weigh)
    found = {name: grad * limit for name, grad in gradients(actors.policy.model).items()}
    return {"advantages": rollouts.advantages[:, 0], **found}


def _accumulated(
    actors: online.Actors,
    rollouts: Rollouts,
    settings: Any,
    loss_of: update.TokenLoss,
    weigh: update.Weigh | None = None,
) -> dict[str, float]:
    return update.accumulate(actors, rollouts, rollouts.members, settings, 0, loss_of, weigh)


METHODS: dict[str, Callable[[Case, Ours], Answer]] = {
    "sft": of_sft,
    "reward_model": of_reward_model,
    "dpo": of_direct,
    "kto": of_direct,
    "ppo": of_ppo,
    "grpo": of_grpo,
    "rloo": of_rloo,
}


def answer(case: Case, folder: Path) -> Answer:
    """Our loss, gradients and advantages of a case."""
    return METHODS[case["method"]](case, Ours(folder / f"seed-{case['seed']}"))
