"""Does a reward model learn from fewer judgements, if it chooses what is asked?

The harmless half of Anthropic's HH (Bai et al. 2022): every comparison there is one real person's, so each can be
answered once. `asked.py` says what the reward model is, how it asks, and that it is never told a test comparison. The
goal is the accuracy that random selection has when half of what may be asked is answered. Nothing was chosen on this
data: the prior was looked at on two other sets (Auto-J, PandaLM). Where the curve is flat a seed's share is mostly
noise, so the target is for the high end of the interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.claims.claim import Bound, Claim, Measurement
from benchmarks.claims.workplace import data_file, workplace

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.claims.people.asked import Pair, Size

FILE = "preferences/hh_harmless_base.jsonl.gz"
SEEDS = (0, 1, 2, 3, 4)
NAMES = {
    "information": "expected information",
    "diverse": "expected information, spread over topics",
    "entropy": "closeness alone (entropy of the mean)",
}
CLAIMS = (
    *(
        Claim(
            way,
            f"judgements chosen by {name} for the accuracy of random selection, over those that this needs",
            "share",
            (Bound("<=", 0.6, "high"),),
        )
        for way, name in NAMES.items()
    ),
    Claim(
        "gain",
        "accuracy with half the pool answered: chosen by expected information and topics, less at random",
        "share",
        (Bound(">", 0.0, "low"),),
    ),
)


@dataclass(frozen=True)
class Found:
    """Curves of one seed: sizes, and by way how right the model was, `(rounds, n)`."""

    sizes: Sequence[int]
    right: Mapping[str, np.ndarray]


def measure() -> Iterator[tuple[str, Measurement]]:
    from benchmarks.claims.people.asked import Size

    yield from measured(Size(), SEEDS)


def measured(size: Size, seeds: Sequence[int]) -> Iterator[tuple[str, Measurement]]:
    """All rows; `size` and `seeds` make them quick to try."""
    from benchmarks.claims.people.asked import curves

    pairs = hh_pairs(size.limit)
    found: list[Found] = []
    for seed in seeds:
        by_way = curves(pairs, size, seed)
        found.append(Found(by_way["random"][0], {way: right for way, (_, right) in by_way.items()}))
    half = len(pairs) * (size.folds - 1) / size.folds / 2
    keep(found)
    for way in NAMES:
        yield way, needed(found, way, half)
    yield "gain", gain(found, pairs, half)


def hh_pairs(limit: int | None = None) -> list[Pair]:
    """HH's comparisons by texts, in the order of the file."""
    from benchmarks.claims.people.asked import Pair
    from benchmarks.claims.training_core.one_fold import pair_of
    from tutelage.core.settings import Source
    from tutelage.data.load import load_comparisons

    read = load_comparisons([Source(source=str(data_file(FILE)), limit=limit)]).records
    return [Pair(one.better, one.worse, one.opening) for one in map(pair_of, read)]


def needed(found: Sequence[Found], way: str, half: float) -> Measurement:
    """Mean over seeds with its t interval. A seed in which the goal is never reached counts as all that was asked."""
    from benchmarks.claims.people.asked import share_needed

    shares: list[float] = []
    never = 0
    for one in found:
        chosen, drawn = (one.right[name].mean(1) for name in (way, "random"))
        share = share_needed(one.sizes, chosen, drawn, int(half))
        if math.isinf(share):
            never += 1
            share = one.sizes[-1] / half
        shares.append(share)
    mean, low, high = spread(shares)
    curve = ", ".join(f"{n}: {a:.3f} and {b:.3f}" for n, a, b in shown(found, way, half))
    note = (
        f"mean of {len(shares)} seeds with t interval, each {min(shares):.2f} to {max(shares):.2f}, goal not "
        f"reached in {never}; logistic regression on words, not the 135M model; accuracy chosen and at random by "
        f"judgements: {curve}"
    )
    return Measurement(mean, len(shares), low, high, note=note)


def gain(found: Sequence[Found], pairs: Sequence[Pair], half: float) -> Measurement:
    """Interval by opening, all seeds together."""
    import numpy as np

    from tutelage.stats.clustered import clustered_bootstrap

    at = nearest(found[0].sizes, half)
    each = np.mean([one.right["diverse"][at] - one.right["random"][at] for one in found], axis=0)
    told = clustered_bootstrap(each, [pair.opening for pair in pairs], num_resamples=1000)
    means = {way: np.mean([one.right[way][at].mean() for one in found]) for way in found[0].right}
    note = f"{found[0].sizes[at]} judgements: " + ", ".join(
        f"{way} {value:.3f}" for way, value in means.items()
    )
    return Measurement(
        told.value, told.n, told.low, told.high, note=f"{note}; {len(found)} seeds, interval by opening"
    )


def shown(found: Sequence[Found], way: str, half: float) -> list[tuple[int, float, float]]:
    """Sizes at quarters of half the pool and beyond, with mean accuracies of a way and of random selection."""
    places = sorted({nearest(found[0].sizes, half * share) for share in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)})
    mean = [
        [sum(float(one.right[name][at].mean()) for one in found) / len(found) for at in places]
        for name in (way, "random")
    ]
    return [(found[0].sizes[at], a, b) for at, a, b in zip(places, *mean, strict=True)]


def nearest(sizes: Sequence[int], wanted: float) -> int:
    """The place of the size next to `wanted`."""
    return min(range(len(sizes)), key=lambda at: abs(sizes[at] - wanted))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95% t interval."""
    from statistics import mean, stdev

    from scipy.stats import t

    middle = mean(values)
    if len(values) < 2:
        return middle, middle, middle
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return middle, middle - half, middle + half


def keep(found: Sequence[Found]) -> None:
    """The mean curves, for whoever draws them: `active.json` in the workplace."""
    import json

    rows = {way: [[float(a) for a in one.right[way].mean(1)] for one in found] for way in found[0].right}
    (workplace() / "active.json").write_text(json.dumps({"sizes": list(found[0].sizes), "accuracy": rows}))
