"""What more judgements would buy: the learning curve of a probe on frozen features, and where it leads.

Training the reward model anew at several sizes would take as many trainings. Instead a linear head is fitted on what
the untrained base model knows of each response, at an eighth, a quarter, half and all of the judgements, and measured
on the comparisons that measure the reward model too. The base model has seen none of them, so nothing leaks. The probe
is weaker than the reward model: read how much it gains, and not where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tutelage.stats.intervals import Interval
from tutelage.store.artifacts import Finished, artifact_folder

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.models.reward import Scorer
    from tutelage.models.trunk import Trunk
    from tutelage.pipeline.project import Project
    from tutelage.training.ranked import RankedExample

SHARES = (0.125, 0.25, 0.5, 1.0)
DRAWS = 4
"""Draws of each share below 1, whose results are averaged."""
MOST_LEARNT, MOST_MEASURED = 600, 300
"""Prompts looked at, so that a forecast takes minutes."""
FEWEST = 16
"""Prompts of either kind without which nothing is forecast."""
TIMES = (1, 2, 4)


@dataclass(frozen=True)
class Probed:
    """Differences of features, better less worse, of the pairs of each prompt: `(n, H)`, weights, prompt numbers."""

    differences: np.ndarray
    weights: np.ndarray
    prompts: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """The probe's accuracy with the judgements there are and with 2 and 4 times as many; None without enough data.

    `accuracy` is the reward model's own on the same comparisons.
    """

    judgements: int
    accuracy: float | None
    expected: tuple[Interval, ...] | None

    def lines(self, seconds: float | None) -> list[str]:
        """The same for people; `seconds` is what a judgement takes."""
        if self.expected is None:
            return [
                f"no forecast: it needs {FEWEST} prompts with comparisons to learn from and to measure on"
            ]
        own = "" if self.accuracy is None else f"; the reward model's own accuracy is {self.accuracy:.3f}"
        said = [f"a probe on the base model, by judgements{own}:"]
        for times, one in zip(TIMES, self.expected, strict=True):
            count = self.judgements * times
            more = count - self.judgements
            minutes = "" if seconds is None or not more else f", {more * seconds / 60:.0f} minutes more"
            said.append(f"  {count:>6}  accuracy {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]{minutes}")
        return said


def forecast_of(
    project: Project, recipe: Recipe, reward: Finished, model: Scorer, say: Callable[[str], None]
) -> Forecast:
    """From the comparisons that a reward model learnt from and was measured on."""
    from tutelage.models.roles import open_base
    from tutelage.pipeline.handover import ImportedData, Resolved
    from tutelage.pipeline.stages.common import Comparisons

    folders = {s: artifact_folder(project.path, s, reward.artifact.inputs[s]) for s in ("data", "judge")}
    comparisons = Comparisons(ImportedData.read(folders["data"]), Resolved.read(folders["judge"]))
    _, resolved = comparisons.resolved.of_split("reward")
    judgements = len({name for one in resolved for name in one.judgement_ids})
    said = reward.artifact.metrics.get("accuracy")
    accuracy = float(said["value"]) if isinstance(said, dict) and said.get("value") is not None else None
    trunk = model.trunk if model.trunk.layers else open_base(recipe.model, recipe.tokens, say)
    learn, later = (decided(comparisons.examples(s, trunk.contract)) for s in ("reward", "measure"))
    if min(len(learn), len(later)) < FEWEST:
        return Forecast(judgements, accuracy, None)
    looked = min(len(learn), MOST_LEARNT), min(len(later), MOST_MEASURED)
    say(f"forecasting from {looked[0]} prompts, measured on {looked[1]}")
    parts = [_probed(trunk, part, most) for part, most in ((learn, MOST_LEARNT), (later, MOST_MEASURED))]
    return Forecast(judgements, accuracy, expected(*parts, share=looked[0] / len(learn)))


def decided(examples: Sequence[RankedExample]) -> list[RankedExample]:
    """Those in which raters preferred some response to another."""
    return [one for one in examples if any(preference > 0.5 for _, _, preference, _ in one.pairs)]


def expected(learn: Probed, later: Probed, share: float = 1.0) -> tuple[Interval, ...]:
    """Accuracy at 1, 2 and 4 times the judgements there are, of which `learn` holds a `share`. Intervals by prompt."""
    from tutelage.stats.learning_curve import forecast_accuracy

    sizes = [part * share for part in SHARES]
    right = [rightness(learn, later, part) for part in SHARES]
    return tuple(forecast_accuracy(sizes, right, [float(t) for t in TIMES], later.prompts.tolist()))


def rightness(learn: Probed, later: Probed, share: float) -> np.ndarray:
    """How right a probe of a share of the prompts is on each pair, 0 to 1, `(n,)`: the mean over draws."""
    from tutelage.stats.linear import fit_linear_bradley_terry

    count = int(learn.prompts.max()) + 1
    found: list[np.ndarray] = []
    for seed in range(DRAWS if share < 1.0 else 1):
        drawn = np.random.default_rng(seed).permutation(count)[: max(1, round(share * count))]
        kept = np.isin(learn.prompts, drawn)
        direction = fit_linear_bradley_terry(learn.differences[kept], learn.weights[kept])
        found.append(0.5 + 0.5 * np.sign(later.differences @ direction))
    return np.mean(found, axis=0)


def _probed(trunk: Trunk, examples: Sequence[RankedExample], most: int) -> Probed:
    """Features of the first `most` examples under the base model, in few forward passes."""
    import torch

    from tutelage.models.heads import ScalarHead
    from tutelage.models.reward import RewardModel, in_parts

    base = RewardModel(trunk, None, ScalarHead(trunk.width, trunk.device))
    chosen = list(examples[:most])
    sequences = [pair for one in chosen for pair in one.sequences]
    features = torch.cat(in_parts(base.features, sequences, 4096)).double().numpy()
    rows: list[np.ndarray] = []
    weights: list[float] = []
    prompts: list[int] = []
    start = 0
    for number, one in enumerate(chosen):
        for better, worse, preference, weight in one.pairs:
            if preference > 0.5:
                rows.append(features[start + better] - features[start + worse])
                weights.append(weight * (2 * preference - 1))
                prompts.append(number)
        start += len(one.responses)
    return Probed(np.array(rows), np.array(weights), np.array(prompts))
