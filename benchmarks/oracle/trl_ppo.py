"""TRL's own PPO on given responses: `python -m benchmarks.oracle.trl_ppo FOLDER`, under TRL 1.12.0.

Its rewards, advantages, losses and update are one function, `train()`. It is run as it is, with its sampler
replaced by the given responses; the weights move to the new ones when the update begins, and it is stopped
at its first backward pass, where its own variables are read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

from benchmarks.oracle.quiet import common
from benchmarks.oracle.world import Answer, World, cases, gradients, keep, load, world_of

Case = dict[str, Any]


class Stop(Exception):
    """Thrown at the first backward pass."""


def trainer_of(case: Case, world: World) -> Any:
    wanted, count = case["settings"], len(case["prompts"])
    settings = common(
        per_device_train_batch_size=count,
        gradient_accumulation_steps=1,
        local_rollout_forward_batch_size=count,
        num_mini_batches=1,
        num_ppo_epochs=1,
        total_episodes=count,
        response_length=wanted["limit"],
        stop_token=None,
        num_sample_generations=0,
        missing_eos_penalty=wanted["no_end_penalty"],
        kl_coef=wanted["kl_coefficient"],
        kl_estimator=wanted["kl_estimator"],
        cliprange=wanted["clip"],
        cliprange_value=wanted["value_clip"],
        vf_coef=wanted["value_coefficient"],
        gamma=wanted["gamma"],
        lam=wanted["gae_lambda"],
        temperature=1.0,
    )
    tokenizer = world.tokenizer
    tokenizer.padding_side = "left"
    return PPOTrainer(
        args=PPOConfig(**settings),
        processing_class=tokenizer,
        model=world.policy("old"),
        ref_model=world.policy("reference"),
        reward_model=world.scorer("reference", "reward"),
        value_model=world.scorer("old", "value_old"),
        train_dataset=Dataset.from_dict({"input_ids": case["prompts"]}),
    )


def ppo(case: Case, world: World) -> Answer:
    trainer = trainer_of(case, world)
    pad = trainer.processing_class.pad_token_id
    places = {tuple(prompt): i for i, prompt in enumerate(case["prompts"])}
    order: list[int] = []
    found: dict[str, Tensor] = {}
    original = ppo_trainer.forward

    def the_given_responses(policy: Any, queries: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        order.extend(places[tuple(t for t in row.tolist() if t != pad)] for row in queries)
        rows = [case["responses"][i][0] for i in order]
        width = case["settings"]["limit"]
        responses = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        both = torch.cat((queries, responses), dim=1)
        return both, original(policy, both, pad).logits[:, queries.shape[1] - 1 : -1]

    def moved(model: Any, *rest: Any) -> Any:
        if model is trainer.model:  # the update, and no longer a look at the responses
            load(model.policy, world.weights("policy"))
            trunk = {k: v for k, v in world.weights("policy").items() if k != "lm_head.weight"}
            load(model.value_model, {**trunk, "score.weight": world.weights("heads")["value_new"]})
        return original(model, *rest)

    def stop(loss: Tensor) -> None:
        loss.backward()
        found.update({k: v for k, v in sys._getframe(1).f_locals.items() if isinstance(v, Tensor)})
        raise Stop

    ppo_trainer.batch_generation, ppo_trainer.forward = the_given_responses, moved
    trainer.accelerator.backward = stop
    try:
        trainer.train()
    except Stop:
        pass
    finally:
        ppo_trainer.forward = original
    back = torch.tensor(order).argsort()
    kept = ("scores", "rewards", "values", "returns", "advantages", "padding_mask", "padding_mask_p1")
    return {
        **{name: found[name][back] for name in kept},
        "loss": found["loss"],
        **gradients(trainer.model.policy),
        **gradients(trainer.model.value_model, "value_grad/"),
    }


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for case in cases(folder):
        if case["method"] == "ppo":
            keep(folder, case, ppo(case, world_of(folder, case)))


if __name__ == "__main__":
    main()
