"""How good a reward model is on comparisons that it was not trained on.

Accuracy with an interval that is honest about prompts (their pairs stand or fall together), calibration
before and after temperature scaling, and accuracy by margin, length and category. What is reported as
"after" is cross-fitted: each fold of prompts is judged at the temperature of the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from torch import Tensor

from tutelage.models.reward import Scorer
from tutelage.stats.calibration import (
    ReliabilityBin,
    as_confidence,
    brier,
    equal_mass_bins,
    expected_calibration_error,
    fit_temperature,
    held_out_probabilities,
)
from tutelage.stats.clustered import clustered_bootstrap
from tutelage.stats.intervals import Interval, wilson
from tutelage.training.ranked import RankedExample, by_example, sequences_of

Scored = tuple[RankedExample, Tensor]
BINS = 8
_MARGINS = (0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Pair:
    """One held-out comparison with a clear preference: score differences are better minus worse."""

    prompt_id: str
    category: str
    margin: float
    words_more: int

    @property
    def right(self) -> float:
        return 1.0 if self.margin > 0 else 0.5 if self.margin == 0 else 0.0


def scored(model: Scorer, examples: Sequence[RankedExample]) -> list[Scored]:
    """Scores `(K,)` of each example's responses."""
    scores = model.scores(sequences_of(examples))
    return list(zip(examples, by_example(scores, examples), strict=True))


def pairs_of(items: Sequence[Scored]) -> list[Pair]:
    """All pairs on which raters had a preference."""
    found: list[Pair] = []
    for example, scores in items:
        for better, worse, preference, _ in example.pairs:
            if preference > 0.5:
                margin = float(scores[better] - scores[worse])
                more = example.words[better] - example.words[worse]
                found.append(Pair(example.prompt_id, example.category, margin, more))
    return found


def pair_accuracy(items: Sequence[Scored]) -> float:
    """Share of pairs that the scores order as the raters did; equal scores count half."""
    pairs = pairs_of(items)
    return float(np.mean([p.right for p in pairs])) if pairs else float("nan")


def measure(items: Sequence[Scored], seed: int = 0) -> dict[str, Any]:
    """Everything that `measured.json` says of a reward model, from held-out scores."""
    pairs = pairs_of(items)
    if not pairs:
        return {
            "accuracy": None,
            "temperature": 1.0,
            "measured_on": {"prompts": len(items), "comparisons": 0},
        }
    margins = np.array([p.margin for p in pairs])
    temperature = fit_temperature(margins)
    # The side with the higher score says how sure it is, and was right or not.
    before, right = as_confidence(margins)
    after, _ = as_confidence(logit(_held_out(margins, [p.prompt_id for p in pairs])))
    bins_before, bins_after = (equal_mass_bins(p, right, BINS) for p in (before, after))
    return {
        "accuracy": asdict(_accuracy(pairs, seed)),
        "temperature": temperature,
        "ece_before": expected_calibration_error(bins_before),
        "ece_after": expected_calibration_error(bins_after),
        "brier": brier(after, right),
        "reliability_before": [_plain(b) for b in bins_before],
        "reliability_after": [_plain(b) for b in bins_after],
        "by_margin": by(pairs, _margin_label),
        "by_length": by(
            pairs, lambda p: "better one longer" if p.words_more > 0 else "better one not longer"
        ),
        "by_category": by(pairs, lambda p: p.category or "other"),
        "length_bias": length_bias(items, pairs),
        "measured_on": {"prompts": len(items), "comparisons": len(pairs)},
    }


def _held_out(margins: np.ndarray, prompt_ids: Sequence[str]) -> np.ndarray:
    """Probability of the better side, at a temperature fitted without the pair's own prompt."""
    if len(set(prompt_ids)) < 2:
        return expit(margins)
    return held_out_probabilities(margins, units=prompt_ids)


def _plain(found: ReliabilityBin) -> dict[str, float]:
    return {
        "low": found.low,
        "high": found.high,
        "predicted": found.confidence,
        "observed": found.frequency,
        "count": found.count,
    }


def by(pairs: Sequence[Pair], label: Callable[[Pair], str]) -> list[dict[str, Any]]:
    """Accuracy by group, with Wilson intervals over pairs."""
    groups: dict[str, list[float]] = {}
    for pair in pairs:
        groups.setdefault(label(pair), []).append(pair.right)
    return [{"label": name, **asdict(wilson(sum(r), len(r)))} for name, r in sorted(groups.items())]


def length_bias(items: Sequence[Scored], pairs: Sequence[Pair]) -> dict[str, Any]:
    """How far raters, and how far the scores, go with length."""
    uneven = [p for p in pairs if p.words_more != 0]
    within: list[tuple[float, float]] = []
    for example, scores in items:
        words, values = np.array(example.words, float), scores.numpy().astype(float)
        within += list(zip(words - words.mean(), values - values.mean(), strict=True))
    table = np.array(within)
    varies = len(table) > 1 and bool((table.std(0) > 0).all())
    longer = float(np.mean([p.words_more > 0 for p in uneven])) if uneven else None
    preferred = float(np.mean([(p.margin > 0) == (p.words_more > 0) for p in uneven])) if uneven else None
    return {
        "chosen_longer_share": longer,
        "model_prefers_longer_share": preferred,
        "score_length_correlation": float(np.corrcoef(table.T)[0, 1]) if varies else None,
        "note": "correlation of score and words within a prompt; shares are over pairs of unequal length",
    }


def _accuracy(pairs: Sequence[Pair], seed: int) -> Interval:
    return clustered_bootstrap([p.right for p in pairs], [p.prompt_id for p in pairs], seed=seed)


def _margin_label(pair: Pair) -> str:
    size = abs(pair.margin)
    for low, high in itertools.pairwise(_MARGINS):
        if size < high:
            return f"score margin {low:.1f} to {high:.1f}"
    return f"score margin {_MARGINS[-1]:.1f} and more"
