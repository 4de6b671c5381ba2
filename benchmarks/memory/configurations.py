"""What is measured: stages of recipes on the embedded model, with few steps and the longest sequences. No torch.

A micro-batch is 2048 tokens, as shipped: four sequences of 512, or one prompt with nine responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe

TOKENS = {"max_prompt": 320, "max_response": 192}
_SFT = {"epochs": 1, "batch": 8, "evaluate_every": 1, "checkpoint_every": 1}
_REWARD = {"loss": "bradley-terry", "batch": 2, "upper_layers": 20, "checkpoint_every": 1}
# No update ever moves so little, so one pass over the rollouts is made.
_PPO = {"iterations": 2, "rollouts": 16, "minibatch": 8, "max_update_kl": 1e-9, "held_out_prompts": 0}
_UPPER = {"tune": "full", "upper_layers": 20}


@dataclass(frozen=True)
class Configuration:
    """A stage, and what its recipe says beside `TOKENS`."""

    name: str
    title: str
    stage: str
    settings: dict[str, Any]

    def recipe(self) -> Recipe:
        from tutelage.core.recipe import Recipe

        return Recipe.model_validate({"name": self.name, "tokens": TOKENS, **self.settings})


ALL = (
    Configuration("sft_lora", "SFT with an adapter", "sft", {"sft": _SFT}),
    Configuration("sft_full", "SFT of all weights", "sft", {"model": {"tune": "full"}, "sft": _SFT}),
    Configuration("sft_upper", "SFT of the upper 20 layers", "sft", {"model": _UPPER, "sft": _SFT}),
    Configuration(
        "reward_lora",
        "reward model with an adapter in the upper 20 layers",
        "reward",
        {"reward": _REWARD, "sample": {"responses_per_prompt": 9}},
    ),
    Configuration("ppo_lora", "PPO with adapters", "ppo", {"ppo": _PPO}),
    Configuration("ppo_full", "PPO of all weights", "ppo", {"model": {"tune": "full"}, "ppo": _PPO}),
)


def named(name: str) -> Configuration:
    """The configuration of that name."""
    return next(one for one in ALL if one.name == name)
