"""Are raters whose reliability is known told apart, and is the truth found behind them?

10,000 rankings of 4 to 9 responses by 40 raters, of whom 14 are honest no more than now and then
(`simulated.py`: careless, in the order shown, longest first, copying one another). Everything goes the way of a
project: judgements to `assess`, its weights to `resolve_comparisons`. Whether the resolved order is right is
counted over all pairs that were resolved, a tie as half, against the same without weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.claims.claim import Bound, Claim, Measurement

if TYPE_CHECKING:
    from benchmarks.claims.people.simulated import Size, World
    from tutelage.preferences.quality import Quality

SEEDS = (0, 1, 2, 3, 4)
ALL, NONE = (Bound("=", 1.0),), (Bound("=", 0.0),)
CLAIMS = (
    Claim(
        "reliability",
        "Spearman correlation of simulated raters' true reliability with the one found, least of 5 seeds",
        "",
        (Bound(">", 0.95, "low"),),
    ),
    Claim(
        "covered",
        "95% intervals of reliability that hold the true one",
        "share",
        (Bound(">=", 0.85),),
    ),
    Claim(
        "aggregate",
        "pairs put in the true order: with the raters' weights, less a plain majority",
        "share",
        (Bound(">", 0.0, "low"),),
    ),
    Claim("colluding", "raters who copy one another that are flagged as such", "share", ALL),
    Claim("biased", "raters who follow the order shown or the length that are flagged as such", "share", ALL),
    Claim("falsely", "honest raters that are flagged as colluding or biased", "raters", NONE),
    Claim("time", "reports and weights from 10,000 rankings", "s", (Bound("<", 60.0),)),
)


@dataclass(frozen=True)
class Found:
    """One seed: the world, what was said of it, and the time that took."""

    world: World
    quality: Quality
    seconds: float


def measure() -> Iterator[tuple[str, Measurement]]:
    from benchmarks.claims.people.simulated import Size

    yield from measured(Size(), SEEDS)


def measured(size: Size, seeds: tuple[int, ...]) -> Iterator[tuple[str, Measurement]]:
    """All rows; `size` and `seeds` make them quick to try."""
    found = [look(size, seed) for seed in seeds]
    yield "reliability", reliability(found)
    yield "covered", covered(found)
    yield "aggregate", aggregate(found)
    yield "colluding", flagged(found, {"colluding": "colluding"})
    yield "biased", flagged(found, {"first": "first shown", "length": "longer"})
    yield "falsely", falsely(found)
    times = sorted(one.seconds for one in found)
    count = len(found[0].world.judgements)
    note = f"range of {len(found)} seeds, {count} rankings, {len(found[0].world.raters)} raters"
    yield "time", Measurement(times[len(times) // 2], len(times), times[0], times[-1], note=note)


def look(size: Size, seed: int) -> Found:
    from benchmarks.claims.people.simulated import draw_world
    from tutelage.preferences.quality import assess

    world = draw_world(size, seed)
    began = time.perf_counter()
    quality = assess(world.judgements, lengths=world.lengths)
    return Found(world, quality, time.perf_counter() - began)


def reliability(found: list[Found]) -> Measurement:
    from scipy.stats import spearmanr

    values = []
    for one in found:
        reports = one.quality.raters
        true = [one.world.reliability[report.rater] for report in reports]
        values.append(float(spearmanr(true, [report.reliability.value for report in reports]).statistic))
    note = f"mean and range of {len(found)} seeds, {len(found[0].quality.raters)} raters each"
    return Measurement(sum(values) / len(values), len(values), min(values), max(values), note=note)


def covered(found: list[Found]) -> Measurement:
    from tutelage.stats.intervals import wilson

    held = [
        report.reliability.low <= one.world.reliability[report.rater] <= report.reliability.high
        for one in found
        for report in one.quality.raters
    ]
    share = wilson(sum(held), len(held))
    note = "none of the raters answers as the model has it, so 95% is not promised"
    return Measurement(share.value, share.n, share.low, share.high, note=note)


def aggregate(found: list[Found]) -> Measurement:
    """Interval by prompt."""
    from tutelage.stats.clustered import clustered_bootstrap

    gains: list[float] = []
    prompts: list[str] = []
    plain = weighted = 0.0
    for seed, one in enumerate(found):
        before, after = right(one.world, None), right(one.world, one.quality.weights)
        gains += [after[pair] - before[pair] for pair in before]
        prompts += [f"{seed} {prompt}" for prompt, *_ in before]
        plain += sum(before.values()) / len(before) / len(found)
        weighted += sum(after.values()) / len(after) / len(found)
    gain = clustered_bootstrap(gains, prompts, num_resamples=500)
    note = f"{weighted:.3f} against {plain:.3f}, pairs of {len(set(prompts))} prompts; {others(found)}"
    return Measurement(gain.value, gain.n, gain.low, gain.high, note=note)


def right(world: World, weights: dict[str, float] | None) -> dict[tuple[str, str, str], float]:
    """Of each resolved pair, by prompt and both responses: whether it is in the true order, 1/2 for a tie."""
    from tutelage.preferences.resolve import resolve_comparisons

    said: dict[tuple[str, str, str], float] = {}
    for one in resolve_comparisons(world.judgements, rater_weights=weights):
        key = (one.prompt_id, *sorted((one.chosen, one.rejected)))
        true = float(world.truth[one.chosen] > world.truth[one.rejected])
        said[key] = 0.5 if one.preference == 0.5 else true
    return said


def others(found: list[Found]) -> str:
    """For comparison, on the first seed: weights from the true reliabilities, and crowd-kit's Dawid-Skene."""
    from math import log

    world = found[0].world
    odds = {name: max(0.0, log(r / (1.0 - r))) for name, r in world.reliability.items()}
    best = right(world, odds)
    told = f"first seed {mean(right(world, found[0].quality.weights)):.3f}"
    told += f", true reliabilities as weights {mean(best):.3f}"
    try:
        import pandas as pd
        from crowdkit.aggregation import DawidSkene
    except ImportError:
        return told
    rows = []
    for judgement in world.judgements:
        order = [group[0] for group in judgement.ranking]
        for i, first in enumerate(order):
            for second in order[i + 1 :]:
                low, high = sorted((first, second))
                rows.append((f"{low} {high}", judgement.rater, first == low))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    labels = DawidSkene(n_iter=20).fit_predict(frame)
    pairs = [(task.split(" "), label) for task, label in labels.items()]
    correct = [(world.truth[low] > world.truth[high]) == label for (low, high), label in pairs]
    return f"{told}, Dawid-Skene on pairs (crowd-kit) {sum(correct) / len(correct):.3f}"


def mean(said: dict[tuple[str, str, str], float]) -> float:
    return sum(said.values()) / len(said)


def flagged(found: list[Found], wanted: dict[str, str]) -> Measurement:
    """Share of the raters of each kind that carry the flag it calls for."""
    from tutelage.stats.intervals import wilson

    hits = [
        wanted[kind] in {flag.kind for flag in report.flags}
        for one in found
        for kind in wanted
        for report in one.quality.raters
        if report.rater in one.world.named(kind)
    ]
    share = wilson(sum(hits), len(hits))
    return Measurement(share.value, share.n, share.low, share.high)


def falsely(found: list[Found]) -> Measurement:
    honest = [
        {flag.kind for flag in report.flags}
        for one in found
        for report in one.quality.raters
        if report.rater in one.world.named("honest")
    ]
    wrong = sum(bool(kinds & {"colluding", "first shown", "longer"}) for kinds in honest)
    other = sum(bool(kinds & {"drift", "quick", "upside down"}) for kinds in honest)
    weak = sum("unreliable" in kinds for kinds in honest)
    note = f"{other} for drift, haste or order; {weak} noisy ones as unreliable, which they are"
    return Measurement(float(wrong), len(honest), note=note)
