"""A few real steps of a stage at its worst case: the longest sequences, full micro-batches, every row decoded.

The stages' own training functions run on made-up tokens. Left out on purpose: reading data and saving models.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.core.recorder import Recorder
    from tutelage.models.reward import RewardModel
    from tutelage.models.trunk import Trunk
    from tutelage.training.online import Actors
    from tutelage.training.ranked import RankedExample

SEED = 0
FIRST_WORD = 1000
"""Ids from here on are plain text in the embedded model's vocabulary and in others'."""


def sft(recipe: Recipe, folder: Path, recorder: Recorder) -> None:
    """Two steps of two full micro-batches, with a validation and a checkpoint."""
    from tutelage.core.records import Demonstration, Message, Prompt
    from tutelage.models.roles import open_base
    from tutelage.training.sft import train_sft

    trunk = open_base(recipe.model, recipe.tokens)
    adapter = None
    if recipe.model.tune == "lora":
        adapter = "sft"
        trunk.add_adapter(adapter, recipe.model.lora, SEED)
    rows = [
        Demonstration(
            Prompt((Message("user", text(2 * i, recipe.tokens.max_prompt)),)),
            text(2 * i + 1, recipe.tokens.max_response),
        )
        for i in range(2 * recipe.sft.batch)
    ]
    train_sft(trunk, adapter, rows, rows[:2], recipe.sft, folder=folder, recorder=recorder, seed=SEED)


def reward(recipe: Recipe, folder: Path, recorder: Recorder) -> None:
    """Two steps of two micro-batches, each of a prompt with its responses."""
    from tutelage.models.roles import new_reward_model, open_base
    from tutelage.training.reward_model import train_reward_model

    settings = recipe.reward
    trunk = open_base(recipe.model, recipe.tokens)
    model = new_reward_model(trunk, "reward", recipe.model.lora, settings.upper_layers, SEED)
    examples = [ranked(recipe, trunk, number) for number in range(2 * settings.batch)]
    train_reward_model(model, examples, examples[:2], settings, folder=folder, recorder=recorder, seed=SEED)


def ppo(recipe: Recipe, folder: Path, recorder: Recorder) -> None:
    """Two iterations in which no response ends early."""
    from tutelage.training.ppo import train_ppo

    settings = recipe.ppo
    actors = actors_for(recipe)
    draw = random.Random(SEED)
    vocabulary = actors.policy.contract.vocab_size
    prompts = [words(draw, recipe.tokens.max_prompt, vocabulary) for _ in range(2 * settings.rollouts)]
    train_ppo(actors, prompts, (), settings, folder=folder, recorder=recorder, seed=SEED)


STAGES = {"sft": sft, "reward": reward, "ppo": ppo}


def actors_for(recipe: Recipe) -> Actors:
    """As the stage `ppo` opens them: on one trunk in adapter mode, on three in full mode."""
    from tutelage.models.heads import ScalarHead
    from tutelage.models.reward import RewardModel
    from tutelage.models.roles import open_base
    from tutelage.sampling.local import LocalSampler
    from tutelage.training.online import Actors

    trunks = [open_base(recipe.model, recipe.tokens) for _ in range(1 if recipe.model.tune == "lora" else 3)]
    policy, reference, scorer = trunks[0], trunks[-1], trunks[len(trunks) // 2]
    policy.contract.end_id = -1
    names: tuple[str | None, ...] = (None, None, None)
    if recipe.model.tune == "lora":
        names = ("policy", "sft", "reward")
        for name in names:
            policy.add_adapter(name, recipe.model.lora, SEED)
    else:
        for frozen in trunks[1:]:
            frozen.model.requires_grad_(False)
    reward_model: RewardModel = RewardModel(scorer, names[2], ScalarHead(scorer.width, scorer.device))
    return Actors(
        policy=policy,
        adapter=names[0],
        reference=reference,
        reference_adapter=names[1],
        value=ScalarHead(policy.width, policy.device),
        sampler=LocalSampler(policy, names[0], recipe.ppo.rollouts),
        score=reward_model.scores,
    )


def ranked(recipe: Recipe, trunk: Trunk, number: int) -> RankedExample:
    """One prompt with the longest responses, of which the first is the best."""
    from tutelage.training.ranked import RankedExample

    draw, tokens, vocabulary = random.Random(number), recipe.tokens, trunk.contract.vocab_size
    count = recipe.sample.responses_per_prompt
    responses = tuple(tuple(words(draw, tokens.max_response, vocabulary)) for _ in range(count))
    return RankedExample(
        prompt_id=str(number),
        category="any",
        prompt=tuple(words(draw, tokens.max_prompt, vocabulary)),
        responses=responses,
        rankings=(),
        pairs=tuple((0, other, 1.0, 1.0) for other in range(1, len(responses))),
        words=tuple(tokens.max_response for _ in responses),
    )


def words(draw: random.Random, count: int, vocabulary: int) -> list[int]:
    """Tokens of plain text, at random."""
    return [draw.randrange(min(FIRST_WORD, vocabulary // 2), vocabulary) for _ in range(count)]


def text(number: int, tokens: int) -> str:
    """Random numbers as text, at least `tokens` tokens long in any vocabulary."""
    draw = random.Random(number)
    return " ".join(str(draw.randrange(10**6)) for _ in range(tokens))
