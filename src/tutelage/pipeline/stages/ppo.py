"""ppo: the SFT policy is trained against the reward model, held near itself by the KL divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from tutelage.core.records import Prompt
from tutelage.models.heads import ScalarHead
from tutelage.models.reward import RewardModel
from tutelage.models.roles import Policy, open_policy, open_reward_model, save_policy
from tutelage.models.scoring import Pair
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.common import check_memory, open_sft
from tutelage.sampling.local import LocalSampler
from tutelage.training.loop import permutation
from tutelage.training.online import Actors, Score
from tutelage.training.ppo import train_ppo


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.ppo
    data = ImportedData.read(context.inputs["data"])
    check_memory(
        context, "ppo", settings.optim.micro_batch_tokens, num_adapters=3, decode_batch=settings.rollouts
    )
    actors, policy = open_actors(context)
    train, held_out = split_prompts(data.policy_prompts, settings.held_out_prompts, context.seed)
    contract = policy.trunk.contract
    metrics = train_ppo(
        actors,
        [contract.prompt_ids(p.messages) for p in train],
        [contract.prompt_ids(p.messages) for p in held_out],
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    save_policy(policy, context.folder / "model")
    save_file(
        {"weight": actors.value.weight.detach().cpu()}, context.folder / "model" / "value_head.safetensors"
    )
    return metrics


def open_actors(context: StageContext) -> tuple[Actors, Policy]:
    """Policy, reference, value head and reward: on one trunk in adapter mode, on three in full mode."""
    recipe, settings = context.recipe, context.recipe.ppo
    reference = open_sft(context)
    reward_folder = context.inputs["reward"] / "model"
    if reference.adapter is not None:
        trunk = reference.trunk
        trunk.copy_adapter(reference.adapter, "policy")
        policy = Policy(trunk, "policy")
        reward = open_reward_model(recipe.model, recipe.tokens, reward_folder, "reward", trunk, context.say)
    else:
        policy = open_policy(recipe.model, recipe.tokens, context.inputs["sft"] / "model", "policy")
        reference.trunk.model.requires_grad_(False)
        reward = open_reward_model(recipe.model, recipe.tokens, reward_folder, "reward")
        reward.trunk.model.requires_grad_(False)
    actors = Actors(
        policy=policy.trunk,
        adapter=policy.adapter,
        reference=reference.trunk,
        reference_adapter=reference.adapter,
        value=ScalarHead(policy.trunk.width, policy.trunk.device),
        sampler=LocalSampler(policy.trunk, policy.adapter, settings.rollouts),
        score=scorer(reward, normalised=settings.score_scale == "normalised"),
        value_trains_trunk=settings.value_trains_trunk,
    )
    return actors, policy


def scorer(reward: RewardModel, normalised: bool) -> Score:
    """Scores by a reward model, normalised to its own training responses if asked."""

    def score(pairs: Sequence[Pair]) -> Tensor:
        scores = reward.scores(pairs)
        return reward.normalised(scores) if normalised else scores

    return score


def split_prompts(
    prompts: Sequence[Prompt], num_held_out: int, seed: int
) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on, and some to look at only; at most a quarter is held out."""
    order = permutation(len(prompts), seed, 1)
    count = min(num_held_out, len(prompts) // 4)
    return [prompts[i] for i in order[count:]], [prompts[i] for i in order[:count]]
