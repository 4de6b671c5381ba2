"""One fold of a cross-validation: train on some comparisons, scale on others, answer the rest.

The ways by name: `words` is the bag of words, `adapters` one reward model and `ensemble` several with adapters in
the upper layers of one frozen trunk, `full` one of which all weights are trained. An ensemble of whole models is
not offered by the product.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.claims.main_job.hh_real_data import Heard, examples
from benchmarks.claims.results import revision
from benchmarks.claims.training_core import words
from benchmarks.claims.training_core.folds import SEED, Answers

if TYPE_CHECKING:
    from tutelage.core.settings import RewardSettings
    from tutelage.data.judged import Judged
    from tutelage.models.trunk import Trunk


@dataclass(frozen=True)
class Training:
    """How the neural ones are trained: the base model, lengths in tokens, and what fits a small machine.

    `members` is of the ensemble; all weights are trained at a lower rate than adapters are.
    """

    base: str = "embedded"
    max_prompt: int = 256
    max_response: int = 128
    upper_layers: int = 15
    members: int = 4
    epochs: int = 1
    batch: int = 8
    learning_rate: float = 4e-4
    full_learning_rate: float = 5e-5


@dataclass(frozen=True)
class Pair:
    """A comparison with its name, the message that its dialogue opens with, and its two responses as text."""

    name: str
    opening: str
    source: str
    better: str
    worse: str
    judged: Judged


@dataclass(frozen=True)
class Fold:
    """Comparisons to learn from, to scale on, and to answer; no opening is in two of them."""

    learn: Sequence[Pair]
    scale: Sequence[Pair]
    test: Sequence[Pair]


def pair_of(judged: Judged) -> Pair:
    """Of a row with a chosen and a rejected response."""
    texts = {response.id: response.text for response in judged.responses}
    (chosen,), (rejected,) = judged.judgement.ranking
    opening = " ".join(judged.prompt.messages[0].content.lower().split())
    source = judged.prompt.source
    return Pair(judged.judgement.id, opening, source, texts[chosen], texts[rejected], judged)


def answer(way: str, fold: Fold, how: Training, folder: Path) -> Answers:
    """Train in a way, in a folder that may hold a checkpoint, and answer the fold's test comparisons."""
    began = time.monotonic()
    margins, temperature = by_words(fold) if way == "words" else by_model(way, fold, how, folder)
    return Answers(
        names=tuple(pair.name for pair in fold.test),
        openings=tuple(pair.opening for pair in fold.test),
        sources=tuple(pair.source for pair in fold.test),
        margins=tuple(margins.tolist()),
        sure=tuple((margins / temperature).tolist()),
        trained_on=len(fold.learn),
        seconds=time.monotonic() - began,
        code=revision(),
    )


def by_words(fold: Fold) -> tuple[np.ndarray, float]:
    """Margins `(n,)` of the test comparisons, and the temperature of the others."""
    from tutelage.stats.calibration import fit_temperature

    learn, scale, test = ([(p.better, p.worse) for p in part] for part in (fold.learn, fold.scale, fold.test))
    bag = words.fitted(learn, scale)
    return bag.margins(test), fit_temperature(bag.margins(scale))


def by_model(way: str, fold: Fold, how: Training, folder: Path) -> tuple[np.ndarray, float]:
    """As `by_words`. The temperature is the one that the product itself keeps with its reward model."""
    from tutelage.core.recorder import Recorder
    from tutelage.training.ensemble import train_ensemble
    from tutelage.training.reward_model import train_reward_model

    trunk, settings = opened(way, how), reward_settings(way, how)
    model = untrained(trunk, way, how, settings)
    learn, scale = (examples([p.judged for p in part], trunk.contract) for part in (fold.learn, fold.scale))
    run: Any = train_ensemble if way == "ensemble" else train_reward_model
    folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(way, folder, [Heard()])
    run(model, learn, scale, settings, folder=folder, recorder=recorder, seed=SEED)
    contract = trunk.contract
    sequences = [
        (contract.prompt_ids(pair.judged.prompt.messages), contract.response_ids(text))
        for pair in fold.test
        for text in (pair.better, pair.worse)
    ]
    scores = model.scores(sequences).double().numpy()
    return scores[0::2] - scores[1::2], model.temperature


def opened(way: str, how: Training) -> Trunk:
    """The base model, frozen or with weights to train."""
    from tutelage.core.settings import ModelSettings, TokenSettings
    from tutelage.models.roles import open_base

    lengths = {"max_prompt": how.max_prompt, "max_response": how.max_response}
    model = ModelSettings(base=how.base, tune="full" if way == "full" else "lora")
    return open_base(model, TokenSettings(**lengths, truncation_side="left"))


def reward_settings(way: str, how: Training) -> RewardSettings:
    from tutelage.core.settings import EnsembleSettings, OptimSettings, RewardSettings

    full = way == "full"
    rate = how.full_learning_rate if full else how.learning_rate
    return RewardSettings(
        loss="bradley-terry",
        optim=OptimSettings(learning_rate=rate, head_learning_rate=1e-3 if full else None),
        epochs=how.epochs,
        batch=how.batch,
        upper_layers=None if full else how.upper_layers,
        ensemble=EnsembleSettings(members=how.members if way == "ensemble" else 1),
        checkpoint_every=100 if full else 20,  # all weights with their moments are 2 GB
    )


def untrained(trunk: Trunk, way: str, how: Training, settings: RewardSettings) -> Any:
    """A `RewardModel` or a `RewardEnsemble`, the same at every start."""
    from tutelage.core.settings import LoraSettings
    from tutelage.models.ensemble import new_ensemble
    from tutelage.models.roles import new_reward_model

    if way == "ensemble":
        return new_ensemble(trunk, "reward", LoraSettings(), how.upper_layers, settings.ensemble, SEED)
    return new_reward_model(trunk, "reward", LoraSettings(), settings.upper_layers, SEED)
