"""What the stages of online methods share: who takes part, which prompts are held out, saving the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.core.recorder import Recorder
from tutelage.core.records import Prompt
from tutelage.core.settings import OnlineSettings
from tutelage.models.reward import Scorer
from tutelage.models.roles import Policy, open_reward_model, save_policy
from tutelage.models.scoring import Pair
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.common import check_memory, open_policy_and_reference
from tutelage.sampling.local import LocalSampler
from tutelage.training.loop import permutation
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
    asked = balanced(data.policy_prompts, settings.category_shares, context.seed)
    prompts, held_out = split_prompts(asked, settings.held_out_prompts, context.seed)
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
        score=scorer(reward, normalised=settings.score_scale == "normalised"),
    )


def scorer(reward: Scorer, normalised: bool) -> Score:
    """Scores by a reward model, normalised to its own training responses if asked."""

    def score(pairs: Sequence[Pair]) -> Tensor:
        scores = reward.scores(pairs)
        return reward.normalised(scores) if normalised else scores

    return score


def balanced(prompts: Sequence[Prompt], shares: Mapping[str, float], seed: int) -> list[Prompt]:
    """As many prompts of each category in `shares` as make up that share; all prompts of the others.

    A category that has too few is asked again from its start. How often a policy declines follows the share of
    prompts that want declining more than anything else does. Raises `DataError` for a category without prompts
    and for shares that leave nothing to the rest.
    """
    rest = [p for p in prompts if p.category not in shares]
    if not shares:
        return rest
    left = 1.0 - sum(shares.values())
    if not rest or left <= 0:
        raise DataError(
            "the category_shares leave nothing to the other prompts: let them sum to less than 1, "
            "and leave at least one category out"
        )
    chosen = rest
    for turn, (category, share) in enumerate(sorted(shares.items()), start=2):
        own = [p for p in prompts if p.category == category]
        if not own:
            raise DataError(f"category_shares names '{category}', and no prompt is of that category")
        order = permutation(len(own), seed, turn)
        count = round(len(rest) * share / left)
        chosen = chosen + [own[order[i % len(own)]] for i in range(count)]
    return chosen


def split_prompts(
    prompts: Sequence[Prompt], num_held_out: int, seed: int
) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on, and some to look at only; at most a quarter is held out."""
    order = permutation(len(prompts), seed, 1)
    count = min(num_held_out, len(prompts) // 4)
    return [prompts[i] for i in order[count:]], [prompts[i] for i in order[:count]]
