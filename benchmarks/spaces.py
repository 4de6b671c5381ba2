"""Small worlds in which everything can be counted: all responses, the exact optimum, the exact values.

A response is `length` tokens of `vocabulary`, every prompt is the same, and the reward is a table over
all `vocabulary ** length` responses. The objective E[r] - beta KL(pi || pi_ref) then has the optimum
pi*(y) proportional to pi_ref(y) exp(r(y) / beta), at which PPO and its like must arrive.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tutelage.core.method_settings import PpoSettings
from tutelage.models.heads import ScalarHead
from tutelage.models.kernels import attention
from tutelage.models.loading import Loaded
from tutelage.models.scoring import Pair, predicting, response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.sampling.local import LocalSampler
from tutelage.stats.best_of_n import best_distribution
from tutelage.training.online import Actors
from tutelage.training.ranked import RankedExample

PROMPT = (0, 1)
"""Two different tokens: after a prompt of zeros alone, attention (which takes a mean of equal values) could
not tell the prefixes (), (0,) and (0, 0) apart, and no policy of this model could be the optimum."""


@dataclass(frozen=True)
class Space:
    """A world: how many tokens, how long a response, the reward table `(vocabulary,) * length`, and beta."""

    vocabulary: int
    length: int
    rewards: Tensor
    beta: float

    @classmethod
    def random(cls, vocabulary: int, length: int, beta: float, seed: int) -> Space:
        generator = torch.Generator().manual_seed(seed)
        return cls(vocabulary, length, torch.randn((vocabulary,) * length, generator=generator), beta)

    @property
    def responses(self) -> list[tuple[int, ...]]:
        return list(itertools.product(range(self.vocabulary), repeat=self.length))

    def score(self, pairs: Sequence[Pair]) -> Tensor:
        return torch.stack([self.rewards[tuple(response)] for _, response in pairs])


def tiny_trunk(space: Space, seed: int, width: int = 48) -> Trunk:
    """A small random Llama whose vocabulary is the space's; no token ends a response."""
    attention.register()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=space.vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.15,
        tie_word_embeddings=False,
        attn_implementation=attention.NAME,
    )
    contract = SimpleNamespace(end_id=-1, pad_id=0, max_response=space.length, max_prompt=1)
    model = LlamaForCausalLM(config).eval()
    loaded = Loaded(model, contract, "space", torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
    return Trunk(loaded, adapters=False)


def actors_for(space: Space, seed: int) -> Actors:
    """Policy and reference start equal; the reward is the table."""
    policy = tiny_trunk(space, seed)
    reference = copy.deepcopy(policy)
    reference.model.requires_grad_(False)
    return Actors(
        policy=policy,
        adapter=None,
        reference=reference,
        reference_adapter=None,
        value=ScalarHead(policy.width, policy.device),
        sampler=LocalSampler(policy, None, batch=4096),
        score=space.score,
        value_trains_trunk=True,
    )


def settings_for(space: Space, iterations: int, rollouts: int, rate: float) -> PpoSettings:
    """PPO as shipped, with full batches and a rate that goes to zero, so that it settles."""
    objective = {"kl_coefficient": space.beta, "no_end_penalty": 0.0, "value_clip": 10.0}
    return PpoSettings.model_validate(
        {**settling(iterations, rollouts, rate), "epochs": 4, "objective": objective}
    )


def settling(iterations: int, rollouts: int, rate: float) -> dict[str, Any]:
    """Settings of any online method: full batches, and a rate that goes to zero."""
    optim = {
        "learning_rate": rate,
        "schedule": "cosine",
        "floor": 0.0,
        "warmup": 0.0,
        "micro_batch_tokens": 10**6,
    }
    return {
        "iterations": iterations,
        "rollouts": rollouts,
        "minibatch": rollouts,
        "checkpoint_every": 10**6,
        "optim": optim,
    }


def distribution(trunk: Trunk, space: Space) -> Tensor:
    """Exact log-probability `(vocabulary ** length,)` of each response under `trunk`."""
    return torch.stack([x.sum() for x in response_logprobs(trunk, [(PROMPT, r) for r in space.responses])])


def optimum(reference_logprobs: Tensor, space: Space) -> Tensor:
    """log pi* over all responses: pi_ref exp(r / beta) / Z."""
    return (reference_logprobs + space.rewards.flatten() / space.beta).log_softmax(0)


def every_pair(space: Space) -> RankedExample:
    """All responses of a space and all their pairs, labelled with the exact Bradley-Terry probability."""
    rewards = space.rewards.flatten()
    places = itertools.combinations(range(len(rewards)), 2)
    pairs = tuple((i, j, float(torch.sigmoid(rewards[i] - rewards[j])), 1.0) for i, j in places)
    responses = tuple(space.responses)
    return RankedExample("all", "", PROMPT, responses, (), pairs, tuple(1 for _ in responses))


def preference_optimum(reference_logprobs: Tensor, space: Space) -> Tensor:
    """IPO's optimum: log of pi_ref exp(p(y) / beta) / Z, p(y) being how often y is preferred to a uniform opponent."""
    rewards = space.rewards.flatten()
    preferred = torch.sigmoid(rewards[:, None] - rewards[None, :]).mean(1)
    return (reference_logprobs + preferred / space.beta).log_softmax(0)


def covering_optimum(reference_logprobs: Tensor, space: Space) -> Tensor:
    """log of the policy that maximises E[r] - beta KL(pi_ref || pi): pi = beta pi_ref / (lambda - r).

    Setting the gradient to zero under sum pi = 1 gives r - lambda + beta pi_ref / pi = 0; lambda above all
    rewards is the number for which the probabilities sum to 1, found by halving an interval.
    """
    beta, reference, rewards = space.beta, reference_logprobs.double().exp(), space.rewards.flatten().double()
    low, high = float(rewards.max()), float(rewards.max()) + beta  # at high the sum is at most 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if float((beta * reference / (middle - rewards)).sum()) > 1 else (low, middle)
        )
    return (beta * reference / (high - rewards)).log().log_softmax(0).float()


def best_of_n_optimum(reference_logprobs: Tensor, space: Space, n: int) -> Tensor:
    """log of what the best of `n` draws from the reference is: where one round of rejection sampling ends."""
    reference = reference_logprobs.double().exp()
    best = best_distribution((reference / reference.sum()).numpy(), space.rewards.flatten().numpy(), n)
    return torch.from_numpy(best).log().float()


def constrained_optimum(reference_logprobs: Tensor, space: Space, target: float) -> Tensor:
    """log of the policy of most reward at a KL of at most `target`: pi_ref exp(r / b) / Z at the b of that KL.

    The KL falls as b grows; b is found by halving an interval of its logarithm.
    """
    low, high = math.log(1e-2), math.log(1e2)
    for _ in range(100):
        middle = (low + high) / 2
        tilted = (reference_logprobs + space.rewards.flatten() / math.exp(middle)).log_softmax(0)
        low, high = (middle, high) if kl_divergence(tilted, reference_logprobs) > target else (low, middle)
    return (reference_logprobs + space.rewards.flatten() / math.exp(high)).log_softmax(0)


def pretraining_optimum(reference_logprobs: Tensor, space: Space, coefficient: float) -> Tensor:
    """log of the policy that maximises E[r] - beta KL(pi || pi_ref) + g E[log pi] over all responses evenly.

    Setting the gradient to zero under sum pi = 1 gives r - beta log(pi / pi_ref) + g u / pi = lambda, u being
    1 over the number of responses. The left side falls as pi grows, so each pi is found by halving an interval
    of its logarithm, and so is lambda, for which the probabilities sum to 1.
    """
    reference, rewards = reference_logprobs.double(), space.rewards.flatten().double()
    even = coefficient / len(rewards)

    def at(multiplier: float) -> Tensor:
        low, high = torch.full_like(rewards, -60.0), torch.full_like(rewards, 60.0)
        for _ in range(80):
            middle = (low + high) / 2
            left = rewards - space.beta * (middle - reference) + even * (-middle).exp()
            low, high = (
                torch.where(left > multiplier, middle, low),
                torch.where(left > multiplier, high, middle),
            )
        return high

    low, high = float(rewards.min()) - 50.0, float(rewards.max()) + 50.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if float(at(middle).exp().sum()) > 1 else (low, middle)
    return at(high).log_softmax(0).float()


def kl_divergence(p_log: Tensor, q_log: Tensor) -> float:
    """KL(p || q) in nats, counted over all responses."""
    return float((p_log.exp() * (p_log - q_log)).sum())


def exact_values(policy_log: Tensor, reference_log: Tensor, space: Space) -> list[Tensor]:
    """E[what is still to come] before each token, under the policy: entry t has shape `(vocabulary,) * t`.

    What is to come is the reward less beta times the KL of this and the later tokens. A policy's value of
    a prefix is thus E[r - beta log(pi / pi_ref) of the remaining tokens | prefix].
    """
    shape = (space.vocabulary,) * space.length
    p = policy_log.exp().reshape(shape)
    to_come = space.rewards - space.beta * (policy_log - reference_log).reshape(shape)
    values: list[Tensor] = []
    for t in range(space.length):
        axes = tuple(range(t, space.length))
        mass = p.sum(axes) if axes else p
        whole = (p * to_come).sum(axes) / mass
        spent = _prefix_kl(policy_log, shape, t) - _prefix_kl(reference_log, shape, t)
        values.append(whole + space.beta * spent)
    return values


def _prefix_kl(logprobs: Tensor, shape: tuple[int, ...], t: int) -> Tensor:
    """log-probability of each prefix of `t` tokens."""
    return logprobs.reshape(shape).logsumexp(tuple(range(t, len(shape))))


def value_error(actors: Actors, space: Space) -> float:
    """Root mean square error of the value head against `exact_values`, over the states that the policy visits."""
    policy_log, reference_log = distribution(actors.policy, space), distribution(actors.reference, space)
    exact = exact_values(policy_log, reference_log, space)
    pairs: list[Pair] = [(PROMPT, r) for r in space.responses]
    with torch.no_grad():
        hidden, _ = predicting(actors.policy, pairs)
        found = actors.value(hidden)
    found = found.reshape(-1, space.length)
    wanted = torch.stack(
        [
            exact[t][tuple(zip(*[r[:t] for r in space.responses]))] if t else exact[0].expand(len(pairs))
            for t in range(space.length)
        ],
        1,
    )
    error = (found - wanted).square().mean(1)
    return float((policy_log.exp() * error).sum().sqrt())
