"""Reward models on people's own comparisons, by 5-fold cross-validation, beside a bag of words.

Two sets: the harmless half of Anthropic's HH (Bai et al. 2022), and four sets in which people say which answer
is the better one (Auto-J, LLMBar, OpenAssistant, PandaLM), taken together. Every comparison is answered once, by
a model that never saw its opening message. All ways have the same folds, so they are compared in pairs. A part
of what is there to train on is kept for the temperature.

What stands beside it: larger models trained on all 160,000 comparisons of HH reach 69 to 75% there (GPT2-large
73.7% on the harmless part and 72.6% on the helpful one, DeBERTa-v3-large 75.2% on all), and two people agree on
63%. Here a fold trains on 1,300 comparisons (1,800 helpful ones) with 135 million parameters. A second model, of
270 million, is not at hand and is left out.

The whole takes hours on two cores, so `TUTELAGE_REWARD_MODELS` says what is trained: `full`, or a part of it as
JSON, whose rows say in their notes what they are; without it the bag of words is, and of the others what earlier
runs have answered is told. For instance, with `pairs` drawn from each set and `folds` of the five run:

    TUTELAGE_REWARD_MODELS='{"ways": ["words", "adapters"], "pairs": 400, "folds": 2}'

The answers of each fold are kept in the workplace, so that a run that was stopped goes on where it was; to measure
anew, delete `reward_models` there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured
from benchmarks.claims.workplace import data_file, held

if TYPE_CHECKING:
    from benchmarks.claims.training_core.folds import Answers
    from benchmarks.claims.training_core.one_fold import Fold, Pair, Training

SIZE = "TUTELAGE_REWARD_MODELS"
FOLDS = 5
SCALED_ON = 7
"""One in so many comparisons of a training fold, by opening, is kept for the temperature."""
WAYS = ("words", "adapters", "ensemble", "full")
WORDS = {
    "words": "bag of words",
    "adapters": "135M with adapters",
    "ensemble": "ensemble of 4, 135M with adapters",
    "full": "135M, all weights",
}
COMPARED = (("adapters", "words"), ("ensemble", "adapters"), ("full", "adapters"))
_ABOVE = (Bound(">", 0.0, "low"),)
_NO_WORSE = (Bound(">=", 0.0, "high"),)


@dataclass(frozen=True)
class Set:
    """Files of comparisons, what they are called, how long a response may be, and what others reach."""

    words: str
    files: tuple[str, ...]
    max_response: int
    published: str


SETS = {
    "harmless": Set(
        "HH harmless",
        ("hh_harmless_base",),
        128,
        "far larger models on all 160,000 of HH: 69 to 75%, GPT2-large on its harmless part 73.7%; two people "
        "agree on 63%",
    ),
    "helpful": Set(
        "four human-labelled sets of helpfulness",
        ("autoj_pairwise_human", "llmbar_human", "oasst_ranked_human", "pandalm_human"),
        256,
        "no figure for these four together; GPT2-large on all of HH's helpful part 72.6%, where two people agree "
        "on 63%",
    ),
}


def _claims() -> Iterator[Claim]:
    for name, one in SETS.items():
        for way in WAYS:
            text = f"{one.words}, {WORDS[way]}: accuracy in {FOLDS}-fold cross-validation"
            yield Claim(f"{name}_{way}", text, "share", (Bound(">", 0.5, "low"),))
        for first, second in COMPARED:
            text = f"{one.words}: accuracy of {WORDS[first]} less that of {WORDS[second]}"
            target = _ABOVE if second == "words" else _NO_WORSE
            yield Claim(f"{name}_{first}_less_{second}", text, "share", target)
        for way in WAYS[1:]:
            text = f"{one.words}, {WORDS[way]}: calibration error after scaling, less noise"
            yield Claim(f"{name}_{way}_calibration", text, "share", (Bound("<", 0.03),))


CLAIMS = tuple(_claims())


@dataclass(frozen=True)
class Size:
    """What is run: which ways and sets, how many comparisons of each set (all if None), how many of the folds.

    `training` changes how the neural ones are trained (`one_fold.Training`); without `train` none is.
    """

    ways: tuple[str, ...] = WAYS
    sets: tuple[str, ...] = tuple(SETS)
    pairs: int | None = None
    folds: int = FOLDS
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    train: bool = True

    @classmethod
    def asked(cls, text: str | None) -> Size:
        """From `full`, JSON or nothing. Raises `ValueError` that says what is wrong with it."""
        if not text or text == "full":
            return cls(train=text == "full")
        told: dict[str, Any] = json.loads(text)
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(told.keys() - known):
            raise ValueError(f"{SIZE} has no '{unknown[0]}': it has {', '.join(sorted(known))}")
        made = cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in told.items()})
        if not ({*made.ways} <= {*WAYS} and {*made.sets} <= {*SETS} and 1 <= made.folds <= FOLDS):
            raise ValueError(f"{SIZE}: ways of {WAYS}, sets of {tuple(SETS)}, folds from 1 to {FOLDS}")
        return made


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    yield from measured(Size.asked(os.environ.get(SIZE)))


def measured(size: Size) -> Iterator[tuple[str, Measurement | NotMeasured]]:
    """All rows; those of the cheapest ways come first."""
    left_out = NotMeasured(f"training takes hours, and is done if {SIZE} asks for it")
    for name, one in SETS.items():
        found: dict[str, Answers] = {}
        for way in WAYS:
            ran = way in size.ways and name in size.sets
            ran = ran and (size.train or way == "words" or is_answered(name, way, size))
            if ran:
                found[way] = answers(name, way, size)
            yield f"{name}_{way}", told_right(one, found[way], size) if ran else left_out
            if way != "words":
                yield f"{name}_{way}_calibration", told_calibrated(found[way], size) if ran else left_out
        for first, second in COMPARED:
            both = first in found and second in found
            told = compared(found[first], found[second], size) if both else left_out
            yield f"{name}_{first}_less_{second}", told


def told_right(one: Set, found: Answers, size: Size) -> Measurement:
    """Accuracy, with what it is made of and what others reach."""
    from benchmarks.claims.training_core.folds import accuracy, by_source

    interval = accuracy(found)
    each = by_source(found) if len(one.files) > 1 else {}
    told = [f"{what(found, size)}, interval by opening message"]
    told += [", ".join(f"{s} {100 * value:.0f}% of {n}" for s, (value, n) in each.items())] if each else []
    told += [one.published]
    return Measurement(
        interval.value, interval.n, interval.low, interval.high, 0, "; ".join(told), found.seconds
    )


def told_calibrated(found: Answers, size: Size) -> Measurement:
    from benchmarks.claims.training_core.folds import calibration

    error = calibration(found)
    told = f"with the noise {error.plain:.3f}, of which noise alone makes about {error.noise:.3f}"
    return Measurement(error.debiased, len(found.names), seed=0, note=f"{told}; {what(found, size)}")


def compared(first: Answers, second: Answers, size: Size) -> Measurement:
    from benchmarks.claims.training_core.folds import difference

    gain, p = difference(first, second)
    told = f"in pairs, interval by opening message, p = {p:.2g}; {what(first, size)}"
    return Measurement(gain.value, gain.n, gain.low, gain.high, 0, told)


def what(found: Answers, size: Size) -> str:
    """How much was trained on and measured, in words."""
    told = f"trained on {found.trained_on} comparisons a fold"
    if size.folds < FOLDS:
        told += f", {size.folds} of {FOLDS} folds"
    if size.pairs is not None:
        told += f", {size.pairs} comparisons drawn of the set"
    if size.training:
        told += ", " + ", ".join(f"{key} {value}" for key, value in size.training.items())
    return f"{told}, code {found.code}" if found.code else told


def answers(name: str, way: str, size: Size) -> Answers:
    """What a way answers to a set, fold by fold; folds that were answered before are read."""
    from benchmarks.claims.training_core.folds import Answers, together
    from benchmarks.claims.training_core.one_fold import answer

    how, place, pairs = trained_as(name, size), folder(name, way, size), drawn(name, size)
    parts: list[Answers] = []
    for number in range(size.folds):
        kept = place / f"fold_{number}.json"
        if not kept.exists():
            print(f"  {name}, {way}, fold {number + 1}/{size.folds}", file=sys.stderr)
            answer(way, fold(pairs, number), how, place / f"fold_{number}").save(kept)
            shutil.rmtree(place / f"fold_{number}", ignore_errors=True)
        parts.append(Answers.load(kept))
    return together(parts)


def is_answered(name: str, way: str, size: Size) -> bool:
    """Whether all folds that are asked for have been answered before."""
    place = folder(name, way, size)
    return all((place / f"fold_{number}.json").exists() for number in range(size.folds))


def trained_as(name: str, size: Size) -> Training:
    from benchmarks.claims.training_core.one_fold import Training

    return Training(**{"max_response": SETS[name].max_response, **size.training})


def folder(name: str, way: str, size: Size) -> Path:
    """Where the folds' answers are kept, by all that they depend on; which folds are run is not among it."""
    from tutelage.core.hashing import content_id, file_sha256

    files = [file_sha256(data_file(_path(file))) for file in SETS[name].files]
    training = {} if way == "words" else asdict(trained_as(name, size))
    mark = content_id("folds", [files, size.pairs, FOLDS, SCALED_ON, training])
    return held("reward_models") / f"{name}-{way}-{mark}"


def drawn(name: str, size: Size) -> list[Pair]:
    """The comparisons of a set, or as many as are asked for, in the order of their names."""
    from benchmarks.claims.training_core.folds import some
    from benchmarks.claims.training_core.one_fold import pair_of
    from tutelage.core.settings import Source
    from tutelage.data.load import load_comparisons

    pairs: dict[str, Pair] = {}
    for file in SETS[name].files:
        path: Path = data_file(_path(file))
        for judged in load_comparisons([Source(source=str(path))]).records:
            pair = dataclasses.replace(pair_of(judged), source=file.partition("_")[0])
            pairs[pair.name] = pair
    everything = [pairs[one] for one in sorted(pairs)]
    if size.pairs is None:
        return everything
    return [everything[i] for i in some([pair.opening for pair in everything], size.pairs)]


def fold(pairs: list[Pair], number: int) -> Fold:
    """The comparisons of one fold to answer, and the others to learn from and to scale on."""
    from benchmarks.claims.training_core.folds import fold_of
    from benchmarks.claims.training_core.one_fold import Fold

    place = fold_of([pair.opening for pair in pairs], FOLDS)
    test = [pair for pair, at in zip(pairs, place, strict=True) if at == number]
    others = [pair for pair, at in zip(pairs, place, strict=True) if at != number]
    part = fold_of([pair.opening for pair in others], SCALED_ON)
    scale = [pair for pair, at in zip(others, part, strict=True) if at == 0]
    return Fold([pair for pair, at in zip(others, part, strict=True) if at != 0], scale, test)


def _path(file: str) -> str:
    return f"preferences/{file}.jsonl.gz"
