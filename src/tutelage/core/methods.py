"""The methods that train a policy, as one table: what each is called and what it learns from. No torch.

Everything that must know which methods there are asks here: the recipe, the graph of stages, the commands,
the cost, the evaluation and the report. A new method is a line of `METHODS`, its group of settings in the
recipe, and `pipeline/stages/NAME.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["online", "direct"]
NEEDS: dict[Kind, tuple[str, ...]] = {
    "online": ("data", "sft", "reward"),
    "direct": ("data", "sft", "judge"),
}
"""The stages that each kind of method rests on."""


@dataclass(frozen=True)
class Method:
    """One method. `name` is its stage, its model and its command; `label` and `long_name` are for people.

    An online method learns from its own samples and the reward model's scores, a direct one from
    comparisons alone. `command` is what its command says of itself.
    """

    name: str
    label: str
    long_name: str
    kind: Kind
    command: str

    @property
    def group(self) -> str:
        """Its group of the recipe, and the module of its stage."""
        return self.name.replace("-", "_")

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages that it rests on."""
        return NEEDS[self.kind]


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "ppo",
            "PPO",
            "proximal policy optimisation",
            "online",
            "Train the policy against the reward model.",
        ),
        Method(
            "rloo",
            "RLOO",
            "REINFORCE with a leave-one-out baseline",
            "online",
            "Train the policy against the reward model, without a value head.",
        ),
        Method(
            "grpo",
            "GRPO",
            "group relative policy optimisation",
            "online",
            "Train the policy on groups of responses to one prompt.",
        ),
        Method(
            "rejection",
            "Rejection",
            "rejection sampling fine-tuning",
            "online",
            "Train the policy on the best of its own responses.",
        ),
        Method(
            "online-dpo",
            "Online DPO",
            "direct preference optimisation on its own samples",
            "online",
            "Train the policy on pairs of its own responses, labelled by the reward model.",
        ),
        Method(
            "dpo",
            "DPO",
            "direct preference optimisation",
            "direct",
            "Train the policy on comparisons, without a reward model.",
        ),
        Method(
            "kto",
            "KTO",
            "Kahneman-Tversky optimisation",
            "direct",
            "Train the policy on single labels, good or bad.",
        ),
    )
}

MODEL_LABELS = {"base": "base", "sft": "SFT", **{m.name: m.label for m in METHODS.values()}}
"""Every model that a project can have, and its name for people."""


def of_kind(kind: Kind, policies: Iterable[str]) -> list[Method]:
    """The methods of one kind among `policies`, in their order."""
    return [METHODS[name] for name in policies if name in METHODS and METHODS[name].kind == kind]
