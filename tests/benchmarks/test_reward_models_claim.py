"""Cross-validation of reward models: folds, what is pooled, paired tests, the bag of words, and what is kept."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from benchmarks.claims.claim import NotMeasured
from benchmarks.claims.training_core import folds, one_fold, reward_models, words
from benchmarks.claims.training_core.folds import Answers


def made(right: Sequence[int], openings: Sequence[str] | None = None, sure: float = 1.0) -> Answers:
    """Answers with margins of one size, right where `right` is 1."""
    margins = tuple(sure if one else -sure for one in right)
    names = tuple(f"n{i:04d}" for i in range(len(right)))
    return Answers(names, tuple(openings or names), ("a",) * len(names), margins, margins, 10, 1.0)


def test_folds_hold_units_together_and_are_of_one_size() -> None:
    units = [f"u{i % 37}" for i in range(100)] + ["large"] * 20
    place = folds.fold_of(units, 5)
    assert all(len({p for p, u in zip(place, units) if u == unit}) == 1 for unit in units)
    assert set(Counter(place).values()) <= {23, 24, 25}
    assert place == folds.fold_of(units, 5) != folds.fold_of(units, 5, seed=1)
    # what a unit gets does not depend on the order of the items
    back = folds.fold_of(units[::-1], 5)[::-1]
    assert back == place


def test_a_part_is_drawn_in_whole_units() -> None:
    units = [f"u{i // 3}" for i in range(60)]
    kept = folds.some(units, 10)
    assert len(kept) == 12 and kept == sorted(kept)  # four units of three
    assert Counter(Counter(units[i] for i in kept).values()) == {3: 4}
    assert folds.some(units, 1000) == list(range(60))


def test_folds_are_pooled_over_comparisons() -> None:
    one, other = made([1, 1, 1, 0]), made([0, 0])
    other = dataclasses.replace(other, names=("m0", "m1"), openings=("m0", "m1"))
    whole = folds.together([one, other])
    assert whole.names[:2] == ("m0", "m1")  # by name
    assert folds.accuracy(whole).value == pytest.approx(3 / 6)  # not the mean of 3/4 and 0
    assert whole.seconds == 2.0
    with pytest.raises(ValueError, match="two folds"):
        folds.together([one, one])


def test_equal_scores_count_half_and_sources_are_told() -> None:
    found = dataclasses.replace(made([1, 0, 1]), sources=("a", "b", "b"), margins=(1.0, -1.0, 0.0))
    assert found.right.tolist() == [1.0, 0.0, 0.5]
    assert folds.by_source(found) == {"a": (1.0, 1), "b": (0.25, 2)}


def test_an_interval_knows_that_an_opening_stands_or_falls() -> None:
    right = [int(i // 10 % 2 == 0) for i in range(2000)]
    apart = folds.accuracy(made(right))
    tied = folds.accuracy(made(right, [f"o{i // 10}" for i in range(2000)]))
    assert apart.value == tied.value == 0.5
    # ten alike: the interval of 200 is wider by the root of 10
    assert (tied.high - tied.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(10), rel=0.15)


def test_a_difference_is_in_pairs_and_by_opening() -> None:
    first, second = made([1, 1, 1, 1, 1, 0]), made([0, 0, 0, 0, 1, 0])
    gain, p = folds.difference(first, second)
    assert gain.value == pytest.approx(4 / 6)
    assert p == pytest.approx(2 / 2**4)  # all four that differ on one side, of 16 patterns, two-sided
    same = ["x", "x", "x", "x", "y", "z"]
    told = [dataclasses.replace(one, openings=tuple(same)) for one in (first, second)]
    assert folds.difference(*told)[1] == 1.0  # they are one opening: nothing is known
    with pytest.raises(ValueError, match="same comparisons"):
        folds.difference(first, dataclasses.replace(second, names=first.names[::-1]))


def test_calibration_looks_at_scaled_margins() -> None:
    draw = np.random.default_rng(0)
    d = draw.normal(0, 1.5, 4000)
    flipped = np.where(draw.random(4000) < expit(d), d, -d)  # better is the side that won
    honest = dataclasses.replace(made([1] * 4000), margins=tuple(3 * flipped), sure=tuple(flipped))
    boasting = dataclasses.replace(honest, sure=honest.margins)
    assert folds.calibration(honest).debiased < 0.02
    assert folds.calibration(boasting).debiased > 0.1
    assert folds.calibration(honest).plain == pytest.approx(folds.calibration(honest).noise, abs=0.01)


def test_words() -> None:
    assert words.words("Don't PANIC, it’s 42_!") == ["don't", "panic", ",", "it’s", "42", "!"]


def test_the_bag_of_words_finds_the_words_that_matter_whichever_side_they_are_on() -> None:
    draw = np.random.default_rng(0)
    filler = [f"word{i}" for i in range(30)]

    def text(told: str) -> str:
        return " ".join([told, *draw.choice(filler, 8)])

    pairs = [(text("sorry"), text("idiot")) for _ in range(120)]
    bag = words.fitted(pairs[:60], pairs[60:90])
    margins = bag.margins(pairs[90:])
    assert (margins > 0).all()
    assert bag.margins([(b, a) for a, b in pairs[90:]]) == pytest.approx(-margins)
    assert bag.weights[bag.places["sorry"]] > 0 > bag.weights[bag.places["idiot"]]
    assert bag.margins([("never seen", "unheard of")]) == pytest.approx(0.0)  # two words each


def test_what_is_asked_for_is_checked() -> None:
    size = reward_models.Size.asked('{"ways": ["words"], "pairs": 40, "folds": 2}')
    assert (size.ways, size.sets, size.pairs, size.folds) == (("words",), ("harmless", "helpful"), 40, 2)
    assert reward_models.Size.asked("full") == reward_models.Size()
    assert not reward_models.Size.asked(None).train
    for wrong in ('{"size": 3}', '{"ways": ["magic"]}', '{"folds": 6}'):
        with pytest.raises(ValueError, match="TUTELAGE_REWARD_MODELS"):
            reward_models.Size.asked(wrong)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made-up files in the place of the real ones."""
    monkeypatch.setenv("TUTELAGE_DATA", str(tmp_path))
    monkeypatch.setenv("TUTELAGE_CLAIMS_DIR", str(tmp_path / "work"))
    (tmp_path / "preferences").mkdir()
    for one in reward_models.SETS.values():
        for file in one.files:
            with gzip.open(tmp_path / "preferences" / f"{file}.jsonl.gz", "wt") as stream:
                for i in range(60):
                    row = {
                        "prompt": [{"role": "user", "content": f"{file} question {i // 2}"}],
                        "chosen": [{"role": "assistant", "content": f"sorry {i} thanks"}],
                        "rejected": [{"role": "assistant", "content": f"idiot {i} thanks"}],
                    }
                    stream.write(json.dumps(row) + "\n")
    return tmp_path


def test_no_opening_is_in_two_parts_of_a_fold(data: Path) -> None:
    pairs = reward_models.drawn("harmless", reward_models.Size())
    tested: list[str] = []
    for number in range(reward_models.FOLDS):
        one = reward_models.fold(pairs, number)
        parts = [{pair.opening for pair in part} for part in (one.learn, one.scale, one.test)]
        assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 30
        tested += [pair.name for pair in one.test]
    assert sorted(tested) == [pair.name for pair in pairs]


@pytest.mark.parametrize("way", ["words", "adapters", "ensemble", "full"])
def test_every_way_learns_and_answers_in_the_order_of_the_fold(
    data: Path, tiny_folder: Path, tmp_path: Path, way: str
) -> None:
    """What is better is plain from one word, so each learns it; turned round, all is wrong."""
    whole = reward_models.fold(reward_models.drawn("harmless", reward_models.Size()), 0)
    first, *others = whole.test
    turned = dataclasses.replace(first, better=first.worse, worse=first.better)
    part = dataclasses.replace(whole, test=[turned, *others])
    rates = {"learning_rate": 1e-2, "full_learning_rate": 1e-2}
    how = one_fold.Training(str(tiny_folder), upper_layers=1, members=2, epochs=4, **rates)
    found = one_fold.answer(way, part, how, tmp_path / way)
    assert found.names == tuple(pair.name for pair in part.test)
    assert found.right.tolist() == [0.0, *[1.0] * len(others)]
    assert len(found.sure) == len(found.margins) and found.trained_on == len(part.learn)
    found.save(tmp_path / "kept.json")
    assert Answers.load(tmp_path / "kept.json") == found


def test_all_rows_are_told_and_a_second_run_only_does_what_is_missing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def planted(way: str, fold: one_fold.Fold, how: Any, folder: Path) -> Answers:
        asked.append(way)
        names = [pair.name for pair in fold.test]
        good = tuple(1.0 if way != "words" or i % 2 else -1.0 for i in range(len(names)))
        openings = tuple(pair.opening for pair in fold.test)
        return Answers(tuple(names), openings, ("x",) * len(names), good, good, len(fold.learn), 2.0)

    monkeypatch.setattr(one_fold, "answer", planted)
    size = reward_models.Size(ways=("words", "adapters"), sets=("harmless",), folds=2)
    rows = dict(reward_models.measured(size))
    assert sorted(rows) == sorted(claim.name for claim in reward_models.CLAIMS)
    assert asked == ["words", "words", "adapters", "adapters"]
    told = rows["harmless_adapters_less_words"]
    assert told.value == pytest.approx(0.5) and "2 of 5 folds" in told.note
    assert isinstance(rows["harmless_full"], NotMeasured) and isinstance(rows["helpful_words"], NotMeasured)
    again = dict(reward_models.measured(dataclasses.replace(size, folds=5)))
    assert asked[4:] == ["words"] * 3 + ["adapters"] * 3
    assert again["harmless_words"].n == 60
    asked.clear()
    kept = dict(reward_models.measured(reward_models.Size(train=False)))
    assert asked == ["words"] * 5  # the other set's; what was trained before is told, and nothing is trained
    assert kept["harmless_adapters"] == again["harmless_adapters"]
    assert isinstance(kept["helpful_adapters"], NotMeasured)
