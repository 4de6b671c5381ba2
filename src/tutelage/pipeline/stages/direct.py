"""What the stages of direct methods share: the comparisons of the reward model's split, and the learner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from tutelage.core.method_settings import DirectSettings
from tutelage.core.recorder import Recorder
from tutelage.models.roles import save_policy
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.stages.common import Comparisons, check_memory, open_policy_and_reference
from tutelage.training.direct import Learner
from tutelage.training.ranked import RankedExample

S = TypeVar("S", bound=DirectSettings, contravariant=True)


class Train(Protocol[S]):
    """`training.dpo.train_dpo` and its like."""

    def __call__(
        self,
        learner: Learner,
        train: Sequence[RankedExample],
        held_out: Sequence[RankedExample],
        settings: S,
        *,
        folder: Any,
        recorder: Recorder,
        seed: int,
    ) -> dict[str, float]: ...


def train_direct(context: StageContext, settings: S, train: Train[S]) -> dict[str, Any]:
    """Train the SFT policy on what a reward model would train on, and leave it in `model/`; returns the metrics.

    The 'measure' split, which trains nothing, says how well it orders comparisons that it never saw.
    """
    comparisons = Comparisons.of(context, "reward")
    check_memory(context)
    policy, reference = open_policy_and_reference(context)
    learner = Learner(policy.trunk, policy.adapter, reference.trunk, reference.adapter)
    contract = policy.trunk.contract
    metrics = train(
        learner,
        comparisons.examples("reward", contract),
        comparisons.examples("measure", contract),
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    save_policy(policy, context.folder / "model")
    return metrics
