"""TRL's side of GRPO and RLOO: its trainers with a reward model. Runs in the environment of TRL 1.16.0.

Its tokenisation is replaced by the tokens given, and the reward is a reward function that asks a classifier
in one padded batch, which is what TRL does with a reward model, but on tokens. No response ends early.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from benchmarks.bench.trl_common import PAD, Stepping, arguments, lora, policy, scorer, tokenizer
from benchmarks.bench.turns import opened

KL = 0.05
MICRO_BATCH = 8


def main() -> None:
    work, row, _, turns = opened()
    scale = work["scale"]
    prompts = [p for batch in work["prompts"] for p in batch[: scale["rollouts"] // scale["group"]]]
    config, kind = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}[row]
    micro = min(MICRO_BATCH, scale["rollouts"])
    settings = arguments(
        # An optimiser step is one pass over an iteration's responses.
        max_steps=len(work["prompts"]) * scale["epochs"],
        num_iterations=scale["epochs"],
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=scale["rollouts"] // micro,
        num_generations=scale["group"],
        max_completion_length=scale["new_tokens"],
        generation_kwargs={"min_new_tokens": scale["new_tokens"]},
        beta=KL,
        temperature=1.0,
        shuffle_dataset=False,
    )
    trainer = kind(
        model=policy(work),
        reward_funcs=scored_by(scorer(work).eval()),
        args=config(**settings),
        train_dataset=Dataset.from_list([{"prompt": json.dumps(p)} for p in prompts]),
        processing_class=tokenizer(work),
        callbacks=[Stepping(turns, scale["epochs"])],
        peft_config=lora("CAUSAL_LM"),
    )
    trainer._tokenize_prompts = lambda given: ([json.loads(text) for text in given], None, {})
    trainer.train()


def scored_by(model: Any) -> Any:
    """A reward function in TRL's form, from a classifier on tokens."""

    @torch.no_grad()
    def reward(prompts: Any, completion_ids: Any, **_: Any) -> list[float]:
        rows = [json.loads(p) + list(c) for p, c in zip(prompts, completion_ids, strict=True)]
        width = max(map(len, rows))
        ids = torch.tensor([r + [PAD] * (width - len(r)) for r in rows])
        mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
        return model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()

    return reward


if __name__ == "__main__":
    main()
