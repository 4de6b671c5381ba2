"""TRL's side of decoding: `generate` of transformers with the settings that TRL's GRPO gives it."""

from __future__ import annotations

import torch
from transformers import GenerationConfig

from benchmarks.bench.trl_common import PAD, policy, tokenizer
from benchmarks.bench.turns import opened


def main() -> None:
    work, _, _, turns = opened()
    scale = work["scale"]
    model, tokens = policy(work).eval(), scale["decode_tokens"]
    how = GenerationConfig(
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        pad_token_id=PAD,
        eos_token_id=tokenizer(work).eos_token_id,
        disable_compile=True,
    )
    turns.ready()
    for prompts in work["prompts"]:
        width = max(map(len, prompts))
        ids = torch.tensor([[PAD] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        with torch.no_grad():
            found = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)
        assert found.shape[1] == width + tokens
        turns.done()


if __name__ == "__main__":
    main()
