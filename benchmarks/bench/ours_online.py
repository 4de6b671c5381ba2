"""Our side of PPO, GRPO and RLOO: `train_ppo` and its like as a recipe runs them, but that no response ends early.

Policy, reference and reward model are one trunk with adapters, and the value head stands on it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench.ours_offline import NEVER, Stepping, trunk_for
from benchmarks.bench.turns import opened
from tutelage.core.method_settings import GrpoSettings, PpoSettings, RlooSettings
from tutelage.core.recorder import Recorder
from tutelage.core.settings import LoraSettings
from tutelage.models.heads import ScalarHead
from tutelage.models.reward import RewardModel
from tutelage.sampling.local import LocalSampler
from tutelage.training.grpo import train_grpo
from tutelage.training.loop import permutation
from tutelage.training.online import Actors
from tutelage.training.ppo import train_ppo
from tutelage.training.rloo import train_rloo

KL = 0.05
SEED = 0


def actors_for(work: dict[str, Any], row: str) -> Actors:
    """One trunk with a policy and a reward adapter; its own weights are the reference."""
    scale = work["scale"]
    trunk = trunk_for(work, "lora", scale["new_tokens"])
    trunk.contract.end_id = -1
    trunk.add_adapter("policy", LoraSettings(), 1)
    trunk.add_adapter("reward", LoraSettings(), 2)
    reward = RewardModel(trunk, "reward", ScalarHead(trunk.width, trunk.device, spread=0.02))
    return Actors(
        policy=trunk,
        adapter="policy",
        reference=trunk,
        reference_adapter=None,
        value=ScalarHead(trunk.width, trunk.device) if row == "ppo" else None,
        sampler=LocalSampler(trunk, "policy", scale["rollouts"]),
        score=reward.scores,
    )


def settings_for(work: dict[str, Any], row: str) -> Any:
    """As shipped, but for what both sides must do alike."""
    scale = work["scale"]
    shared = {
        "iterations": len(work["prompts"]),
        "rollouts": scale["rollouts"],
        "minibatch": scale["rollouts"],
        "epochs": scale["epochs"],
        "max_update_kl": None,
        "checkpoint_every": NEVER,
        "evaluate_every": NEVER,
        "objective": {"kl_coefficient": KL},
    }
    if row == "ppo":
        return PpoSettings.model_validate(shared)
    kind = GrpoSettings if row == "grpo" else RlooSettings
    return kind.model_validate({**shared, "responses_per_prompt": scale["group"]})


def in_order(prompts: Sequence[Any], seed: int) -> list[Any]:
    """The prompts laid out so that the order in which training draws them is the one given."""
    laid: list[Any] = [None] * len(prompts)
    for place, prompt in zip(permutation(len(prompts), seed, 0), prompts, strict=True):
        laid[place] = prompt
    return laid


def main() -> None:
    work, row, _, turns = opened()
    scale = work["scale"]
    actors, settings = actors_for(work, row), settings_for(work, row)
    each = scale["rollouts"] if row == "ppo" else scale["rollouts"] // scale["group"]
    prompts = in_order([p for batch in work["prompts"] for p in batch[:each]], SEED)
    method = {"ppo": train_ppo, "grpo": train_grpo, "rloo": train_rloo}[row]
    turns.ready(trained=sum(p.numel() for p in actors.parameters()))
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder("bench", None, [Stepping(turns, 1)])
        method(actors, prompts, [], settings, folder=Path(folder), recorder=recorder, seed=SEED)


if __name__ == "__main__":
    main()
