"""What the stages of direct methods share: the comparisons of the reward model's split, and the learner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from tutelage.core.errors import DataError
from tutelage.core.recorder import Recorder
from tutelage.core.settings import DirectSettings
from tutelage.models.roles import save_policy
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData, Resolved
from tutelage.pipeline.stages.common import check_memory, open_policy_and_reference
from tutelage.training.direct import Learner
from tutelage.training.ranked import RankedExample, ranked_examples

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
    data, resolved = ImportedData.read(context.inputs["data"]), Resolved.read(context.inputs["judge"])
    if not resolved.of_split("reward")[1]:
        raise DataError(
            f"no comparison is in the split 'reward', so {context.stage} has nothing to train on: "
            "give more comparisons, or change data.referee_share and data.measure_share"
        )
    check_memory(context)
    policy, reference = open_policy_and_reference(context)
    learner = Learner(policy.trunk, policy.adapter, reference.trunk, reference.adapter)
    prompts, responses = data.prompts | resolved.prompts, data.responses | resolved.responses
    examples, held_out = (
        ranked_examples(prompts, responses, *resolved.of_split(split), policy.trunk.contract)
        for split in ("reward", "measure")
    )
    metrics = train(
        learner,
        examples,
        held_out,
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
    )
    save_policy(policy, context.folder / "model")
    return metrics
