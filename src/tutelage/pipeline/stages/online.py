"""What the stages of online methods share: who takes part, which prompts are held out, saving the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from tutelage.core.errors import ModelError
from tutelage.core.method_settings import OnlineSettings
from tutelage.core.recorder import Recorder
from tutelage.models.perspectives import PerspectiveModel
from tutelage.models.reward import Scorer
from tutelage.models.roles import Policy, open_reward_model, save_policy
from tutelage.models.scoring import Pair
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.asked import balanced, split_prompts
from tutelage.pipeline.stages.common import check_memory, open_policy_and_reference
from tutelage.sampling.local import LocalSampler
from tutelage.training.constrained import ConstrainedScore, ScoreParts
from tutelage.training.online import Actors, Score

S = TypeVar("S", bound=OnlineSettings, contravariant=True)


class Train(Protocol[S]):
    """`training.ppo.train_ppo` and its like."""

    def __call__(
        self,
        actors: Actors,
        prompts: Sequence[Sequence[int]],
        held_out: Sequence[Sequence[int]],
        settings: S,
        *,
        folder: Any,
        recorder: Recorder,
        seed: int,
    ) -> dict[str, float]: ...


def train_online(context: StageContext, actors: Actors, settings: S, train: Train[S]) -> dict[str, Any]:
    """Train the actors' policy on the recipe's prompts and leave it in `model/`; returns the metrics."""
    data = ImportedData.read(context.inputs["data"])
    some, held_out = split_prompts(data.policy_prompts, settings.held_out_prompts, context.seed)
    prompts = balanced(some, settings.category_shares, context.seed)
    contract = actors.policy.contract
    metrics = train(
        actors,
        [contract.prompt_ids(p.messages) for p in prompts],
        [contract.prompt_ids(p.messages) for p in held_out],
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    save_policy(Policy(actors.policy, actors.adapter), context.folder / "model")
    return metrics


def open_actors(context: StageContext, settings: OnlineSettings) -> Actors:
    """Policy, reference and reward, without a value head: on one trunk in adapter mode, on three in full mode."""
    check_memory(context)
    recipe, folder = context.recipe, context.inputs["reward"] / "model"
    policy, reference = open_policy_and_reference(context)
    if reference.adapter is not None:
        reward = open_reward_model(
            recipe.model, recipe.tokens, folder, "reward", reference.trunk, context.say
        )
    else:
        reward = open_reward_model(recipe.model, recipe.tokens, folder, "reward")
        reward.trunk.model.requires_grad_(False)
    return Actors(
        policy=policy.trunk,
        adapter=policy.adapter,
        reference=reference.trunk,
        reference_adapter=reference.adapter,
        value=None,
        sampler=LocalSampler(policy.trunk, policy.adapter, settings.rollouts),
        score=scorer(reward, settings),
    )


def scorer(reward: Scorer, settings: OnlineSettings) -> Score:
    """Scores by a reward model, normalised to its own training responses if asked; under constraints, a score
    that moves. Raises `ModelError` for constraints on a reward model without perspectives."""
    if settings.constraints:
        return ConstrainedScore(score_parts(reward, tuple(settings.constraints)), settings.constraints)

    def score(pairs: Sequence[Pair]) -> Tensor:
        scores = reward.scores(pairs)
        return reward.normalised(scores) if settings.score_scale == "normalised" else scores

    return score


def score_parts(reward: Scorer, constrained: Sequence[str]) -> ScoreParts:
    """The weighted mean of the free perspectives, and the constrained ones, each normalised by itself."""
    if not isinstance(reward, PerspectiveModel):
        raise ModelError(
            "constraints need a reward model with perspectives: train it with reward.perspectives"
        )
    names, weights = reward.names, reward.heads.weights
    bound = [names.index(name) for name in constrained]
    free = [index for index, name in enumerate(names) if name not in constrained]
    share = torch.tensor([weights[names[index]] for index in free])

    def parts(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        scores = reward.normalised_by_perspective(pairs)
        return (share / share.sum()) @ scores[free], scores[bound]

    return parts
