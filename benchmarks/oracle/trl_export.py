"""TRL's own reward trainer on a file that Tutelage exported: `python -m benchmarks.oracle.trl_export FOLDER FILE`.

The file is loaded by the hub's library and handed to `RewardTrainer` as it is, with the model in FOLDER/model.
What is left in FOLDER/trl.json: rows in the file, rows that the trainer kept, of how many both tokenised sides
hold the response that the file says, the loss of one step, and the largest change of a weight.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

from benchmarks.oracle.quiet import common

KINDS = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}


def train(folder: Path, file: Path) -> dict[str, Any]:
    rows = load_dataset(
        KINDS[file.suffix], data_files=str(file), split="train", cache_dir=str(folder / "cache")
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForSequenceClassification.from_pretrained(
        folder / "model", num_labels=1, dtype=torch.float32
    )
    settings = common(
        output_dir=str(folder / "trainer"),
        max_length=None,
        max_steps=1,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        save_strategy="no",
        seed=0,
    )
    trainer = RewardTrainer(
        model=model, args=RewardConfig(**settings), train_dataset=rows, processing_class=tokenizer
    )
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    result = trainer.train()
    moved = max(float((p.detach() - before[n]).abs().max()) for n, p in trainer.model.named_parameters())
    kept = trainer.train_dataset
    return {
        "rows": len(rows),
        "kept": len(kept),
        "right": sum(says(tokenizer, tokens, row) for tokens, row in zip(kept, rows, strict=False)),
        "steps": trainer.state.global_step,
        "loss": result.training_loss if math.isfinite(result.training_loss) else None,
        "moved": moved,
    }


def says(tokenizer: Any, tokens: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether both sides, decoded, are the prompt's messages with the response that the row says at the end."""
    for side in ("chosen", "rejected"):
        whole = tokenizer.apply_chat_template([*row["prompt"], *row[side]], tokenize=False)
        ids = next(tokens[name] for name in (f"{side}_ids", f"{side}_input_ids") if name in tokens)
        if tokenizer.decode(ids) != whole:
            return False
    return True


def main() -> None:
    torch.set_num_threads(1)
    folder, file = map(Path, sys.argv[1:3])
    (folder / "trl.json").write_text(json.dumps(train(folder, file)))


if __name__ == "__main__":
    main()
