"""Asking comparisons: the way that should win does on planted data, and how judgements are counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.claims.people.active import FILE, measured
from benchmarks.claims.people.asked import Pair as Asked
from benchmarks.claims.people.asked import Pool, Size, one_curve, pool_of, share_needed

N = [10, 20, 30, 40]


def test_judgements_needed_by_hand() -> None:
    drawn = np.array([0.5, 0.6, 0.7, 0.8])
    chosen = np.array([0.5, 0.7, 0.8, 0.8])
    assert share_needed(N, chosen, drawn, 30) == pytest.approx(20 / 30)
    assert share_needed(N, drawn, drawn, 30) == 1.0
    assert share_needed(N, drawn - 0.3, drawn, 30) == float("inf")
    # a dip is no gain: made to rise, 0.7 and 0.5 are 0.6 both, and so is the goal
    assert share_needed(
        N, np.array([0.5, 0.7, 0.5, 0.8]), np.array([0.5, 0.55, 0.6, 0.8]), 30
    ) == pytest.approx(2 / 3)


def test_a_plateau_of_random_selection_does_not_flatter() -> None:
    """Both stand still from 20 on: what random selection needs is 20, though it was given 40."""
    flat = np.array([0.5, 0.6, 0.6, 0.6])
    assert share_needed(N, flat, flat, 40) == 1.0


def planted() -> Pool:
    """Most comparisons tell of one direction only; a few tell of the others, which are tested as well."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=8)
    rare = generator.normal(size=(120, 8)) * 2.0
    common = np.zeros((1080, 8))
    common[:, 0] = generator.normal(size=1080) * 2.0
    x = generator.permutation(np.concatenate([rare, common]))
    x *= np.where(x @ truth + generator.logistic(size=len(x)) > 0, 1.0, -1.0)[:, None]
    tested = generator.normal(size=(2000, 8))
    tested *= np.sign(tested @ truth)[:, None]
    return Pool(x, ("",) * len(x), tested)


def test_information_finds_what_random_selection_misses() -> None:
    size, pool = Size(batch=30, rounds=6, members=6, prior=2.0), planted()
    (n, drawn), (_, chosen) = (one_curve(pool, way, size, 0) for way in ("random", "information"))
    assert n == [30, 60, 90, 120, 150, 180]
    assert (chosen[0] == drawn[0]).all()  # all begin alike
    assert chosen[-1].mean() > drawn[-1].mean() + 0.05


def test_what_is_tested_shapes_no_feature() -> None:
    pairs = [Asked(f"good fine word{n % 7}", f"bad word{n % 5}", f"topic{n % 6} ask") for n in range(60)]
    held_out = np.arange(60) < 20
    other = [
        Asked("entirely", "different words", "here") if out else p
        for p, out in zip(pairs, held_out, strict=True)
    ]
    size = Size(width=4, topics=3)
    np.testing.assert_array_equal(
        pool_of(pairs, held_out, size, 0).asked, pool_of(other, held_out, size, 0).asked
    )


def test_all_rows_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_DATA", str(tmp_path))
    monkeypatch.setenv("TUTELAGE_CLAIMS_DIR", str(tmp_path / "work"))
    (tmp_path / FILE).parent.mkdir()
    with gzip.open(tmp_path / FILE, "wt") as stream:
        for i in range(120):
            row = {
                "prompt": [{"role": "user", "content": f"question {i // 2} of {i % 5}"}],
                "chosen": [{"role": "assistant", "content": f"sorry {i % 9} thanks word{i % 4}"}],
                "rejected": [{"role": "assistant", "content": f"idiot {i % 7} thanks word{i % 3}"}],
            }
            stream.write(json.dumps(row) + "\n")
    size = Size(folds=2, batch=20, rounds=4, members=2, width=8, topics=3)
    found = dict(measured(size, (0, 1)))
    assert set(found) == {"information", "diverse", "entropy", "gain"}
    assert found["gain"].n == 120 and "random 1.000" in found["gain"].note  # one word tells
    assert json.loads((tmp_path / "work" / "active.json").read_text())["sizes"] == [20, 40, 60, 60]
