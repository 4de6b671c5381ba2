"""TRL's side of SFT, the reward model and DPO: its trainers on tokens. Runs in the environment of TRL 1.16.0."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

from benchmarks.bench.trl_common import Stepping, arguments, lora, policy, scorer, tokenizer
from benchmarks.bench.turns import opened

WAYS = {
    "equal": ("sdpa", False),
    "system": ("eager", True),
    "eager": ("eager", False),
    "free": ("sdpa", True),
    "eager-free": ("eager", True),
}
"""By mode: the attention, and whether SFT lays sequences end to end without padding (others cannot).

`system` took the least processor time of those that follow, which can be tried by name in its place: the
fused kernel of a CPU is slow backward."""


def main() -> None:
    work, row, mode, turns = opened()
    pairs = [pair for batch in work["batches"] for pair in batch]
    attention, padding_free = WAYS[mode]
    steps = len(work["batches"])
    settings = arguments(
        max_steps=steps,
        per_device_train_batch_size=work["scale"]["batch"],
        train_sampling_strategy="sequential",
        max_length=None,
        **({"padding_free": True} if padding_free and row.startswith("sft") else {}),
    )
    shared = {"processing_class": tokenizer(work), "callbacks": [Stepping(turns, work["scale"]["steps"])]}
    build = {"sft_full": sft, "sft_lora": sft, "reward": reward, "dpo": dpo}[row]
    build(work, row, pairs, attention, settings, shared).train()


def sft(work: dict[str, Any], row: str, pairs: Any, attention: str, settings: Any, shared: Any) -> Any:
    rows = [{"input_ids": p + c, "labels": [-100] * len(p) + c} for p, c, _ in pairs]
    return SFTTrainer(
        model=policy(work, attention),
        args=SFTConfig(**settings),
        train_dataset=Dataset.from_list(rows),
        peft_config=lora("CAUSAL_LM") if row == "sft_lora" else None,
        **shared,
    )


def reward(work: dict[str, Any], _: str, pairs: Any, attention: str, settings: Any, shared: Any) -> Any:
    rows = [{"chosen_ids": p + c, "rejected_ids": p + r} for p, c, r in pairs]
    return RewardTrainer(
        model=scorer(work, attention),
        args=RewardConfig(**settings),
        train_dataset=Dataset.from_list(rows),
        peft_config=lora("SEQ_CLS", modules_to_save=["score"]),
        **shared,
    )


def dpo(work: dict[str, Any], _: str, pairs: Any, attention: str, settings: Any, shared: Any) -> Any:
    rows = [{"prompt_ids": p, "chosen_ids": c, "rejected_ids": r} for p, c, r in pairs]
    trainer = DPOTrainer(
        model=policy(work, attention),
        args=DPOConfig(**settings),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        peft_config=lora("CAUSAL_LM"),
        **shared,
    )
    trainer.train_dataset = Dataset.from_list(rows)  # it would tokenise text; its collator takes tokens
    return trainer


if __name__ == "__main__":
    main()
