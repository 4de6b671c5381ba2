"""Random models and random batches on which two libraries are compared, written where both can read them.

A world is a seed: a tiny Llama (tied and untied by turns) with weights `reference`, `old` (before an update),
`policy` (after it) and `far`, and heads. A case is a batch of it for one method, with its settings; responses
are of many lengths unless a row needs them whole. Tokens are drawn evenly, but never the padding.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tutelage.models.tiny import make_tiny

Case = dict[str, Any]
LIMIT = 12
"""Tokens of the longest response."""
WIDTH, SPECIAL, END = 32, 3, 2
DIRECT = {"beta": 0.3}
KTO = {**DIRECT, "desirable_weight": 1.3, "undesirable_weight": 0.8, "held": "far"}
"""Its reference is far off, so that random tokens are likelier under the policy: a reference point below 0
would be cut to 0, and nothing could be seen of it."""
PPO = {
    "limit": LIMIT,
    "clip": 0.2,
    "kl_coefficient": 0.2,
    "kl_estimator": "k1",
    "no_end_penalty": 1.0,
    "value_clip": 0.2,
    "value_coefficient": 0.7,
    "gamma": 0.98,
    "gae_lambda": 0.95,
}
GRPO = {
    "limit": LIMIT,
    "temperature": 1.0,
    "advantages": "normalised",
    "weights": "response",
    "clip": 0.2,
    "clip_high": 0.2,
    "kl_coefficient": 0.1,
    "kl_estimator": "k3",
    "corrected_kl": False,
    "updated": "policy",
}
DR_GRPO = {**GRPO, "advantages": "centred", "weights": "constant", "temperature": 0.7}
DAPO = {**GRPO, "weights": "token", "clip_high": 0.28, "kl_coefficient": 0.0}
RLOO = {"limit": LIMIT, "clip": 0.2, "kl_coefficient": 0.1, "updated": "old"}
"""`updated` names the weights at which the loss is taken: with `old` the ratio is 1 everywhere."""


def write(folder: Path, seeds: int) -> list[Case]:
    """Models and cases of so many seeds into `folder`; returns the cases."""
    made: list[Case] = []
    for seed in range(seeds):
        _write_models(folder / f"seed-{seed}", seed)
        made += _cases(seed)
    (folder / "cases.json").write_text(json.dumps(made))
    return made


def _write_models(folder: Path, seed: int) -> None:
    from transformers import AutoModelForCausalLM

    make_tiny(folder / "model", seed=seed, width=WIDTH, tied=seed % 2 == 0)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)

    def disturbed(weights: dict[str, Any], by: float) -> dict[str, Any]:
        return {k: v + by * torch.randn(v.shape, generator=generator) for k, v in weights.items()}

    reference = {k: v.detach().clone() for k, v in model.named_parameters()}
    old = disturbed(reference, 0.03)
    named = {"reference": reference, "old": old, "policy": disturbed(old, 0.015), "far": disturbed(old, 0.1)}
    for name, weights in named.items():
        save_file(weights, folder / f"{name}.safetensors")
    heads = {n: torch.randn(1, WIDTH, generator=generator) * WIDTH**-0.5 for n in ("reward", "value_old")}
    heads["value_new"] = heads["value_old"] + 0.05 * torch.randn(1, WIDTH, generator=generator)
    save_file(heads, folder / "heads.safetensors")


def _cases(seed: int) -> Iterator[Case]:
    dice = random.Random(seed)
    ragged = {**PPO, "gamma": 1.0, "gae_lambda": 1.0, "value_coefficient": 0.0}
    kinds: tuple[tuple[str, str, dict[str, Any], int, int], ...] = (
        ("sft", "sft", {}, 5, 1),
        ("reward_model", "reward_model", {}, 4, 2),
        ("dpo", "dpo", {**DIRECT, "loss": "dpo"}, 4, 2),
        ("robust_dpo", "dpo", {**DIRECT, "loss": "robust", "flip_rate": 0.2}, 4, 2),
        ("ipo", "dpo", {**DIRECT, "loss": "ipo", "length_normalised": True}, 4, 2),
        ("kto", "kto", KTO, 4, 2),
        ("ppo", "ppo", {**PPO, "whole": True, "value_trains_trunk": False}, 6, 1),
        ("ppo", "ppo", {**PPO, "whole": True, "value_trains_trunk": True, "kl_estimator": "k3"}, 6, 1),
        ("ppo_lengths", "ppo", {**ragged, "value_trains_trunk": False}, 6, 1),
        ("ppo_extra_state", "ppo", {**PPO, "value_trains_trunk": False}, 6, 1),
        ("grpo", "grpo", GRPO, 3, 4),
        ("dr_grpo", "grpo", DR_GRPO, 3, 4),
        ("dapo", "grpo", DAPO, 3, 4),
        ("dapo", "grpo", {**DAPO, "weights": "token in a micro-batch"}, 3, 4),
        ("grpo_corrected_kl", "grpo", {**GRPO, "corrected_kl": True, "updated": "old"}, 3, 4),
        ("rloo", "rloo", RLOO, 3, 4),
    )
    for number, (row, method, settings, prompts, responses) in enumerate(kinds):
        yield {
            "name": f"{row}-{number}-{seed}",
            "row": row,
            "method": method,
            "seed": seed,
            "settings": settings,
            **_batch(dice, prompts, responses, bool(settings.get("whole"))),
        }


def _batch(dice: random.Random, prompts: int, responses: int, whole: bool) -> Case:
    def tokens(count: int) -> list[int]:
        return [dice.randrange(SPECIAL, 256 + SPECIAL) for _ in range(count)]

    def response(cut: bool) -> list[int]:
        ended = [] if cut else [END]
        length = LIMIT if whole or cut else dice.randint(1, LIMIT)
        return [*tokens(length - len(ended)), *ended]

    count = prompts * responses
    cut = [True, False, *(dice.random() < 0.3 for _ in range(count - 2))]  # one is as long as can be
    made = [response(one) for one in dice.sample(cut, count)]
    return {
        "prompts": [tokens(dice.randint(2, 8)) for _ in range(prompts)],
        "responses": [made[i : i + responses] for i in range(0, count, responses)],
        "rewards": [[dice.gauss(0, 1) for _ in range(responses)] for _ in range(prompts)],
    }
