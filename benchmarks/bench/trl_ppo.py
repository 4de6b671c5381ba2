"""TRL's side of PPO: `trl.experimental.ppo`, under TRL 1.12.0, the last release that has it.

Its critic is a model of its own. As documented (system against system) all of the critic is trained; at equal
work only its head is, as ours. The reference is the policy with its adapter off. No response ends early.
"""

from __future__ import annotations

from datasets import Dataset
from torch.utils.data import DataLoader
from trl.experimental.ppo import PPOConfig, PPOTrainer

from benchmarks.bench.trl_common import PAD, Stepping, arguments, lora, policy, scorer, tokenizer
from benchmarks.bench.turns import opened

KL = 0.05
MICRO_BATCH = 8


def main() -> None:
    work, _, mode, turns = opened()
    scale = work["scale"]
    count, micro = scale["rollouts"], min(MICRO_BATCH, scale["rollouts"])
    settings = arguments(
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=count // micro,
        num_mini_batches=1,
        num_ppo_epochs=scale["epochs"],
        total_episodes=count * len(work["prompts"]),
        response_length=scale["new_tokens"],
        local_rollout_forward_batch_size=count,
        num_sample_generations=0,
        stop_token=None,
        missing_eos_penalty=None,
        temperature=1.0,
        kl_coef=KL,
    )
    model, critic = policy(work), scorer(work)
    model.config.pad_token_id = model.generation_config.pad_token_id = PAD
    if mode == "equal":
        critic.requires_grad_(False)
        critic.score.requires_grad_(True)
    stepping = Stepping(turns, 1)
    rows = Dataset.from_list([{"input_ids": p} for batch in work["prompts"] for p in batch])
    trainer = PPOTrainer(
        args=PPOConfig(**settings),
        processing_class=tokenizer(work),
        model=model,
        ref_model=None,
        reward_model=scorer(work),
        value_model=critic,
        train_dataset=rows,
        peft_config=lora("CAUSAL_LM"),
        callbacks=[stepping],
    )
    # Its own loader shuffles; this one is the same but for that.
    trainer.dataloader = DataLoader(rows, batch_size=count, collate_fn=trainer.data_collator, drop_last=True)
    stepping.model = trainer.model
    trainer.train()


if __name__ == "__main__":
    main()
