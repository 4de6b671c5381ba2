"""TRL's own losses and gradients on given batches: `python -m benchmarks.oracle.trl_losses FOLDER`.

For each case TRL's trainer is built and its own collator, advantages and `compute_loss` are called. Only two
things of a trainer are replaced: its sampler, by the given responses, and its reward function, by the given
rewards. Runs in the environment of TRL 1.16.0; PPO is in `trl_ppo`, which needs another release.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from benchmarks.oracle.quiet import common
from benchmarks.oracle.world import Answer, World, cases, gradients, keep, load, world_of

Case = dict[str, Any]
ANYTHING = {"prompt": ["a", "b"], "completion": ["c", "d"]}
PAIRS = {"prompt": ["a", "b"], "chosen": ["c", "d"], "rejected": ["e", "f"]}
"""A trainer wants a data set when it is built; the cases' batches go to its collator instead."""


def sft(case: Case, world: World) -> Answer:
    trainer = SFTTrainer(
        model=world.policy(),
        args=SFTConfig(**common(max_length=None)),
        train_dataset=Dataset.from_dict(ANYTHING),
        processing_class=world.tokenizer,
    )
    examples = [
        {"input_ids": prompt + response, "labels": [-100] * len(prompt) + response}
        for prompt, (response,) in zip(case["prompts"], case["responses"], strict=True)
    ]
    return answered(trainer, trainer.data_collator(examples))


def reward_model(case: Case, world: World) -> Answer:
    trainer = RewardTrainer(
        model=world.scorer("policy", "reward"),
        args=RewardConfig(**common(max_length=None)),
        train_dataset=Dataset.from_dict(PAIRS),
        processing_class=world.tokenizer,
    )
    examples = [
        {"chosen_ids": prompt + chosen, "rejected_ids": prompt + rejected}
        for prompt, (chosen, rejected) in zip(case["prompts"], case["responses"], strict=True)
    ]
    return answered(trainer, trainer.data_collator(examples))


def dpo(case: Case, world: World) -> Answer:
    wanted = case["settings"]
    kinds = {"dpo": "sigmoid", "ipo": "ipo", "robust": "robust"}
    trainer = DPOTrainer(
        model=world.policy(),
        ref_model=world.policy("reference"),
        args=DPOConfig(
            **common(
                max_length=None,
                beta=wanted["beta"],
                loss_type=[kinds[wanted["loss"]]],
                label_smoothing=wanted.get("flip_rate", 0.0),
            )
        ),
        train_dataset=Dataset.from_dict(PAIRS),
        processing_class=world.tokenizer,
    )
    examples = [
        {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
        for prompt, (chosen, rejected) in zip(case["prompts"], case["responses"], strict=True)
    ]
    return answered(trainer, trainer.data_collator(examples))


def kto(case: Case, world: World) -> Answer:
    """Both responses of a prompt stand under the next prompt too, as ours do."""
    wanted = case["settings"]
    trainer = KTOTrainer(
        model=world.policy(),
        ref_model=world.policy(wanted["held"]),
        args=KTOConfig(
            **common(
                max_length=None,
                beta=wanted["beta"],
                desirable_weight=wanted["desirable_weight"],
                undesirable_weight=wanted["undesirable_weight"],
                per_device_train_batch_size=2,
            )
        ),
        train_dataset=Dataset.from_dict({**ANYTHING, "label": [True, False]}),
        processing_class=world.tokenizer,
    )
    examples = [
        {"prompt_ids": prompt, "completion_ids": response, "KL_completion_ids": before, "label": good}
        for prompt, responses, others in zip(
            case["prompts"], case["responses"], [case["responses"][-1], *case["responses"][:-1]], strict=True
        )
        for response, before, good in zip(responses, others, (True, False), strict=True)
    ]
    return answered(trainer, trainer.data_collator(examples))


def grpo(case: Case, world: World) -> Answer:
    wanted, group = case["settings"], len(case["responses"][0])
    kinds = {"response": "grpo", "constant": "dr_grpo", "token": "dapo", "token in a micro-batch": "bnpo"}
    arguments = GRPOConfig(
        **common(
            per_device_train_batch_size=group * len(case["prompts"]),
            num_generations=group,
            steps_per_generation=1,
            num_iterations=2,  # so that the log-probabilities before the update are kept
            max_completion_length=wanted["limit"],
            temperature=wanted["temperature"],
            beta=wanted["kl_coefficient"],
            epsilon=wanted["clip"],
            epsilon_high=wanted["clip_high"],
            loss_type=kinds[wanted["weights"]],
            scale_rewards="group" if wanted["advantages"] == "normalised" else "none",
            use_bias_correction_kl=wanted["corrected_kl"],
        )
    )
    trainer = GRPOTrainer(
        model=world.policy("old"),
        reward_funcs=given(case),
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": ["a", "b"]}),
        processing_class=world.tokenizer,
    )
    hold_reference(trainer, world)
    prompts, responses = flat(case)
    texts = [""] * len(responses)
    trainer._generate = lambda _: (prompts, responses, None, texts, None, {}, None, [])
    return online_answer(trainer, case, world)


def rloo(case: Case, world: World) -> Answer:
    wanted, group = case["settings"], len(case["responses"][0])
    trainer = RLOOTrainer(
        model=world.policy("old"),
        reward_funcs=given(case),
        args=RLOOConfig(
            **common(
                per_device_train_batch_size=group * len(case["prompts"]),
                num_generations=group,
                steps_per_generation=1,
                max_completion_length=wanted["limit"],
                beta=wanted["kl_coefficient"],
                epsilon=wanted["clip"],
            )
        ),
        train_dataset=Dataset.from_dict({"prompt": ["a", "b"]}),
        processing_class=world.tokenizer,
    )
    hold_reference(trainer, world)
    prompts, responses = flat(case)
    trainer._generate = lambda _: (prompts, responses, [""] * len(responses))
    return online_answer(trainer, case, world)


def hold_reference(trainer: Any, world: World) -> None:
    """Our reference in the place of TRL's, which is always the model that training starts from."""
    if trainer.ref_model is not None:  # there is none where the KL has no weight
        load(trainer.ref_model, world.weights("reference"))


def flat(case: Case) -> tuple[list[list[int]], list[list[int]]]:
    group = len(case["responses"][0])
    prompts = [prompt for prompt in case["prompts"] for _ in range(group)]
    return prompts, [response for responses in case["responses"] for response in responses]


def given(case: Case) -> Callable[..., list[float]]:
    rewards = [reward for group in case["rewards"] for reward in group]

    def the_given_rewards(**_: Any) -> list[float]:
        return rewards

    return the_given_rewards


def online_answer(trainer: Any, case: Case, world: World) -> Answer:
    """Score the given responses under the old weights, move to the new ones, and take the loss."""
    trainer.model.train()
    prompts, _ = flat(case)
    scored = trainer._generate_and_score_completions([{"prompt": ""} for _ in prompts])
    load(trainer.model, world.weights(case["settings"]["updated"]))
    trainer.current_gradient_accumulation_steps = 1  # what `train()` sets before its first step
    return {**answered(trainer, scored), "advantages": scored["advantages"]}


def answered(trainer: Any, batch: dict[str, Any]) -> Answer:
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return {"loss": loss, **gradients(trainer.model)}


METHODS: dict[str, Callable[[Case, World], Answer]] = {
    "sft": sft,
    "reward_model": reward_model,
    "dpo": dpo,
    "kto": kto,
    "grpo": grpo,
    "rloo": rloo,
}


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for case in cases(folder):
        if case["method"] in METHODS:
            keep(folder, case, METHODS[case["method"]](case, world_of(folder, case)))


if __name__ == "__main__":
    main()
