"""Do known scores come back, and do the probabilities mean what they say?

Raters are simulated: they compare pairs by Bradley-Terry, or rank five by Plackett-Luce, from scores that
are known. The reward model's own training (`train_reward_model`: its losses, optimiser and schedule, and
its calibration) then learns from them, with a table of scores in the place of the language model; the fits
of `tutelage.stats` learn from the same data. What is reported is the worst of the seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.claims.claim import Bound, Claim, Measurement

if TYPE_CHECKING:
    from tutelage.training.ranked import RankedExample

SEEDS = (0, 1, 2)
ITEMS = 50
PROMPTS = 5000
"""Training prompts: each with 4 compared pairs, or a ranking of 5."""
HELD_OUT = 20_000
"""Held-out comparisons, each a prompt of its own: noise alone makes an error of about 0.006 in 8 bins."""
RATER_TEMPERATURE = 1.5
"""Held-out raters are less sure than those trained on, so that the temperature has work to do."""

_MODELS = {"bradley_terry": "Bradley-Terry", "plackett_luce": "Plackett-Luce"}
CLAIMS = tuple(
    claim
    for name, model in _MODELS.items()
    for claim in (
        Claim(
            f"{name}_training",
            f"known {model} scores come back from reward-model training: Spearman correlation",
            "",
            (Bound(">", 0.99),),
        ),
        Claim(
            f"{name}_fit",
            f"known {model} scores come back from the fit in tutelage.stats: Spearman correlation",
            "",
            (Bound(">", 0.99),),
        ),
        Claim(
            f"{name}_calibration",
            f"calibration error on held-out simulated raters after temperature scaling, trained by {model}",
            "",
            (Bound("<", 0.02),),
        ),
    )
)


def measure() -> Iterator[tuple[str, Measurement]]:
    import torch

    torch.set_num_threads(1)
    for name in _MODELS:
        learned, fitted, errors, before = [], [], [], []
        for seed in SEEDS:
            generator = np.random.default_rng(seed)
            truth = generator.normal(0.0, 1.5, ITEMS)
            rankings = simulate(name, truth, generator)
            scores, measured = trained(name, rankings, held_out(truth, generator), seed)
            learned.append(spearman(scores, truth))
            fitted.append(spearman(fit(name, rankings), truth))
            errors.append(measured["ece_after"])
            before.append(measured["ece_before"])
        note = f"worst and range of {len(SEEDS)} seeds"
        many = len(SEEDS) * HELD_OUT
        yield f"{name}_training", Measurement(min(learned), len(SEEDS), min(learned), max(learned), 0, note)
        yield f"{name}_fit", Measurement(min(fitted), len(SEEDS), min(fitted), max(fitted), 0, note)
        told = f"{note}; {max(before):.3f} before scaling"
        yield f"{name}_calibration", Measurement(max(errors), many, min(errors), max(errors), 0, told)


def simulate(model: str, truth: np.ndarray, generator: np.random.Generator) -> list[list[tuple[int, ...]]]:
    """By prompt, what its raters said: orders of items, best first (of 2 items, or of 5)."""
    if model == "bradley_terry":
        return [[_order(truth, 2, generator) for _ in range(4)] for _ in range(PROMPTS)]
    return [[_order(truth, 5, generator)] for _ in range(PROMPTS)]


def held_out(truth: np.ndarray, generator: np.random.Generator) -> list[tuple[int, ...]]:
    """Pairs as less certain raters order them."""
    return [_order(truth / RATER_TEMPERATURE, 2, generator) for _ in range(HELD_OUT)]


def _order(scores: np.ndarray, count: int, generator: np.random.Generator) -> tuple[int, ...]:
    """Some items in an order drawn from Plackett-Luce: sorted by score plus Gumbel noise (Yellott 1977).

    For two items that is Bradley-Terry.
    """
    items = generator.choice(len(scores), count, replace=False)
    noisy = scores[items] + generator.gumbel(size=count)
    return tuple(int(i) for i in items[np.argsort(-noisy)])


def fit(model: str, prompts: list[list[tuple[int, ...]]]) -> np.ndarray:
    """Scores `(ITEMS,)` by maximum likelihood."""
    from tutelage.stats.bradley_terry import fit_bradley_terry, wins_matrix
    from tutelage.stats.plackett_luce import fit_plackett_luce

    orders = [order for prompt in prompts for order in prompt]
    if model == "bradley_terry":
        return fit_bradley_terry(wins_matrix(((a, b, 1.0, 1.0) for a, b in orders), ITEMS)).scores
    return fit_plackett_luce([[[i] for i in order] for order in orders], ITEMS).scores


def trained(
    model: str, prompts: list[list[tuple[int, ...]]], later: list[tuple[int, ...]], seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Scores `(ITEMS,)` that `train_reward_model` learns, and what it measured on the later pairs."""
    from tutelage.core.recorder import Recorder
    from tutelage.core.settings import OptimSettings, RewardSettings
    from tutelage.training.reward_model import train_reward_model

    settings = RewardSettings(
        loss="bradley-terry" if model == "bradley_terry" else "plackett-luce",
        optim=OptimSettings(learning_rate=0.05, floor=0.0, micro_batch_tokens=10**6),
        epochs=2,
        batch=100,
        checkpoint_every=10**6,
    )
    table: Any = ScoreTable()
    train = [example(f"train {i}", orders) for i, orders in enumerate(prompts)]
    held = [example(f"held out {i}", [order]) for i, order in enumerate(later)]
    with tempfile.TemporaryDirectory() as folder:
        measured = train_reward_model(
            table, train, held, settings, folder=Path(folder), recorder=Recorder("reward"), seed=seed
        )
    return table.head.weight.detach().numpy(), measured


class ScoreTable:
    """In the place of a reward model: the score of a response is an entry of a table, by its only token."""

    def __init__(self) -> None:
        import torch

        self.adapter = "table"
        self.trunk = SimpleNamespace(adapter_parameters=lambda _: [])
        self.head = SimpleNamespace(weight=torch.nn.Parameter(torch.zeros(ITEMS)))
        self.mean, self.std, self.temperature = 0.0, 1.0, 1.0

    def raw(self, pairs: Any) -> Any:
        import torch

        return self.head.weight[torch.tensor([response[0] for _, response in pairs])]

    def scores(self, pairs: Any) -> Any:
        return self.raw(pairs).detach()


def example(name: str, orders: list[tuple[int, ...]]) -> RankedExample:
    """One prompt whose responses are items, with its raters' orders as rankings and as pairs."""
    from tutelage.training.ranked import RankedExample

    items = sorted({i for order in orders for i in order})
    place = {item: index for index, item in enumerate(items)}
    pairs = [
        (place[a], place[b], 1.0, 1.0)
        for order in orders
        for n, a in enumerate(order)
        for b in order[n + 1 :]
    ]
    return RankedExample(
        prompt_id=name,
        category="",
        prompt=(0,),
        responses=tuple((item,) for item in items),
        rankings=tuple((tuple((place[i],) for i in order), 1.0) for order in orders),
        pairs=tuple(pairs),
        words=(1,) * len(items),
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of two lists without ties."""
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)
