"""How far a judge agrees with people, and whether its labels may train anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Prompt, Response
from tutelage.judges.judge import Judge
from tutelage.judges.pairwise import PairwiseJudge
from tutelage.stats.clustered import clustered_bootstrap
from tutelage.stats.intervals import Interval


@dataclass(frozen=True)
class JudgeAgreement:
    """Agreement over held-out comparisons. `num_ties`: pairs that people left equal.

    `position_bias` and `flips` are those of a pairwise judge, None for one that has no positions.
    """

    judge: str
    agreement: Interval
    threshold: float
    num_prompts: int
    num_ties: int
    position_bias: float | None = None
    flips: float | None = None

    @property
    def may_label(self) -> bool:
        """Whether its labels may train: the agreement reaches the threshold, and is no coin toss."""
        return self.agreement.value >= self.threshold and self.agreement.low > 0.5

    def plain(self) -> dict[str, Any]:
        """As `judge.json` holds it."""
        return {**asdict(self), "used": self.may_label}


def measure_agreement(
    judge: Judge,
    comparisons: Sequence[Comparison],
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    *,
    threshold: float,
    ties: Literal["leave_out", "half"] = "leave_out",
    num_resamples: int = 2000,
    seed: int = 0,
) -> JudgeAgreement:
    """Share of comparisons that `judge` decides as people did, with an interval that draws whole prompts.

    A comparison that people left equal (preference 1/2) is left out, or counts half either way. A judge
    at exactly 1/2 counts half. Raises `DataError` if no comparison is left.
    """
    decided = [c for c in comparisons if c.preference != 0.5]
    used = decided if ties == "leave_out" else list(comparisons)
    if not used:
        raise DataError(
            "no held-out comparison has a preference, so a judge's agreement cannot be measured: "
            "give rankings that are not all ties"
        )
    asked = [prompts[c.prompt_id].messages for c in used]
    chosen, rejected = (
        [responses[id].text for id in ids] for ids in zip(*[(c.chosen, c.rejected) for c in used])
    )
    bias = flips = None
    if isinstance(judge, PairwiseJudge):
        looked = judge.look(asked, chosen, rejected)
        probability, bias, flips = looked.probability, looked.position_bias, looked.flips
    else:
        probability = judge.compare(asked, chosen, rejected)
    right = [_right(float(p), c.preference) for p, c in zip(probability, used, strict=True)]
    clusters = [c.prompt_id for c in used]
    return JudgeAgreement(
        judge=judge.name,
        agreement=clustered_bootstrap(right, clusters, num_resamples=num_resamples, seed=seed),
        threshold=threshold,
        num_prompts=len(set(clusters)),
        num_ties=len(comparisons) - len(decided),
        position_bias=bias,
        flips=flips,
    )


def _right(probability: float, preference: float) -> float:
    if preference == 0.5 or probability == 0.5:
        return 0.5
    return float((probability > 0.5) == (preference > 0.5))
