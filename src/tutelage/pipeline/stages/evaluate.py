"""evaluate: base, SFT and every policy answer the evaluation prompts; judges that trained none of them score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tutelage.core.errors import StoreError
from tutelage.data.packs import load_evaluation
from tutelage.evals.run import Model, run_evaluation
from tutelage.judges.refusal_agreement import published_agreement
from tutelage.judges.reward_judge import RewardJudge
from tutelage.models.reward import Scorer
from tutelage.models.roles import Policy, open_base, open_policy, open_reward_model
from tutelage.models.scoring import response_logprobs
from tutelage.models.trunk import Trunk
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.common import check_memory
from tutelage.sampling.local import LocalSampler


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.evaluate
    if context.input_ids["referee"] == context.input_ids.get("reward"):
        raise StoreError("the judge that evaluates is the reward model itself: no figure would mean anything")
    check_memory(context)
    sets = load_evaluation(str(ImportedData.read(context.inputs["data"]).evaluation))
    models = Models(context)
    summary = run_evaluation(
        models,
        sets,
        RewardJudge(models.referee(), name=f"referee {context.input_ids['referee']}"),
        models.trunk.contract,
        settings,
        folder=context.folder,
        recorder=context.recorder,
        seed=context.seed,
        classifier=published_agreement(),
    )
    return {stage: summary[stage] for stage in models}


class Models(Mapping[str, Model]):
    """Stage name to model, each opened when it is asked for: on one trunk in adapter mode."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.names = ("base", "sft", *context.recipe.policies)
        self.trunk: Trunk = open_base(context.recipe.model, context.recipe.tokens, context.say)
        self._open: dict[str, Policy] = {"base": Policy(self.trunk, None)}

    def __getitem__(self, stage: str) -> Model:
        policy = self._policy(stage)
        batch = self.context.recipe.evaluate.batch

        def logprobs(pairs: Any) -> Any:
            with policy.trunk.using(policy.adapter):
                return response_logprobs(policy.trunk, pairs)

        return LocalSampler(policy.trunk, policy.adapter, batch), logprobs

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def referee(self) -> Scorer:
        """The reward model that only judges."""
        return self._reward_model(self.context.inputs["referee"] / "model")

    def _policy(self, stage: str) -> Policy:
        if stage not in self._open:
            recipe, folder = self.context.recipe, self.context.inputs[stage] / "model"
            shared = self.trunk if self.trunk.layers else None
            if shared is None:
                # Full mode: each model has its own weights, so the one before last is let go.
                self._open = {"base": self._open["base"]}
            self._open[stage] = open_policy(recipe.model, recipe.tokens, folder, stage, shared)
        return self._open[stage]

    def _reward_model(self, folder: Path) -> Scorer:
        recipe = self.context.recipe
        shared = self.trunk if self.trunk.layers else None
        return open_reward_model(recipe.model, recipe.tokens, folder, "referee", shared)
