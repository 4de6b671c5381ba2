"""What both sides work on: token sequences, the same for both, written as JSON. No torch.

Lengths are those of HH's harmless pairs (Bai et al. 2022) under the embedded model's template, kept in
`hh_lengths.json` so that everyone measures the same; tokens are drawn evenly, since no time depends on which
they are. With `TUTELAGE_DATA` set to a folder that holds the pairs themselves, those are taken.
Prompts for sampling keep their last 128 tokens.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Pair = tuple[list[int], list[int], list[int]]
"""Prompt, chosen, rejected."""
HH = "preferences/hh_harmless_base.jsonl.gz"
LENGTHS = Path(__file__).with_name("hh_lengths.json")
LONGEST, LONGEST_PROMPT = 512, 128
FIRST_TOKEN = 100
"""Ids below belong to special tokens in some vocabularies."""


@dataclass(frozen=True)
class Scale:
    """How much is measured: pairs of repetitions after `warm_up` unmeasured ones, and the size of each."""

    name: str
    pairs: int
    warm_up: int
    steps: int
    """Optimiser steps a repetition, of the methods that learn from given data."""
    batch: int
    """Demonstrations or pairs a step."""
    rollouts: int
    """Responses an iteration, of the methods that sample; GRPO and RLOO take `group` to a prompt."""
    group: int
    new_tokens: int
    epochs: int
    decode_tokens: int

    @property
    def repetitions(self) -> int:
        return self.warm_up + self.pairs


FULL = Scale("full", 5, 1, 2, 8, 32, 4, 32, 4, 64)
QUICK = Scale("quick", 2, 1, 1, 4, 16, 4, 16, 2, 32)
SMOKE = Scale("smoke", 1, 1, 1, 2, 4, 2, 4, 1, 8)


def build(
    scale: Scale, model: Path, vocabulary: int, end: int, pairs: Sequence[Pair], source: str
) -> dict[str, Any]:
    """The work of a whole run: batches of pairs and of prompts, one entry a repetition."""
    spare = scale.repetitions + 1  # a trainer may fetch one batch ahead
    steps = spare * scale.steps
    taken = [pairs[i % len(pairs)] for i in range(steps * scale.batch)]
    prompts = [pairs[i % len(pairs)][0][-LONGEST_PROMPT:] for i in range(spare * scale.rollouts)]
    return {
        "scale": asdict(scale),
        "model": str(model),
        "vocabulary": vocabulary,
        "end": end,
        "source": source,
        "batches": [taken[i : i + scale.batch] for i in range(0, len(taken), scale.batch)],
        "prompts": [prompts[i : i + scale.rollouts] for i in range(0, len(prompts), scale.rollouts)],
    }


def pairs_for(contract: Any, seed: int = 0, count: int = 256) -> tuple[list[Pair], str]:
    """Pairs, and in words where they are from: the real ones where they lie, else as long as they are."""
    folder = os.environ.get("TUTELAGE_DATA")
    if folder and (Path(folder) / HH).is_file():
        return real_pairs(Path(folder) / HH, contract, seed, count), "HH harmless"
    lengths = json.loads(LENGTHS.read_text(encoding="utf-8"))
    return drawn_pairs(lengths, contract.vocab_size, contract.end_id, seed)[:count], "as long as HH harmless"


def drawn_pairs(lengths: Sequence[Sequence[int]], vocabulary: int, end: int, seed: int) -> list[Pair]:
    """Random tokens of the given lengths (prompt, chosen, rejected); responses close with `end`."""
    dice = random.Random(seed)

    def tokens(length: int) -> list[int]:
        return [dice.randrange(FIRST_TOKEN, vocabulary) for _ in range(length)]

    return [(tokens(p), [*tokens(c - 1), end], [*tokens(r - 1), end]) for p, c, r in lengths]


def real_pairs(path: Path, contract: Any, seed: int, count: int) -> list[Pair]:
    """Pairs of the file whose sequences are at most `LONGEST` tokens, in a shuffled order."""
    from tutelage.core.records import Message

    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    random.Random(seed).shuffle(rows)
    found: list[Pair] = []
    for row in rows:
        prompt = contract.prompt_ids([Message(m["role"], m["content"]) for m in row["prompt"]])
        both = [contract.response_ids(row[side][-1]["content"]) for side in ("chosen", "rejected")]
        if both[0] != both[1] and len(prompt) + max(map(len, both)) <= LONGEST:
            found.append((prompt, both[0], both[1]))
        if len(found) == count:
            break
    return found


def measured_units(name: str, work: dict[str, Any], repetition: int) -> float:
    """How much of the row's unit a repetition does: tokens, pairs, or one iteration."""
    scale = work["scale"]
    batches = work["batches"][repetition * scale["steps"] : (repetition + 1) * scale["steps"]]
    units: dict[str, Callable[[], float]] = {
        "sft_full": lambda: sum(len(p) + len(c) for batch in batches for p, c, _ in batch),
        "sft_lora": lambda: sum(len(p) + len(c) for batch in batches for p, c, _ in batch),
        "reward": lambda: sum(map(len, batches)),
        "dpo": lambda: sum(map(len, batches)),
        "decode": lambda: scale["rollouts"] * scale["decode_tokens"],
    }
    return float(units.get(name, lambda: 1)())
