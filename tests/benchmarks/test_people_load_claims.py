"""The claims on load and on kills: what counts as broken, and a small run of each against a real server."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from benchmarks.claims.claim import Measurement
from benchmarks.claims.people import faults, load
from benchmarks.claims.people.crowd_over_http import Phase
from tutelage.preferences import accounts

HUNDRED = [0.1] * 96 + [0.3] * 4


def phase(asked: float, latencies: list[float], seconds: float = 1.0, **troubles: int) -> Phase:
    return Phase(asked, latencies, Counter(troubles), seconds)


def test_a_rate_holds_if_it_is_served_quickly_and_without_a_failure() -> None:
    assert load.holds(phase(100, HUNDRED))
    assert load.p95(phase(100, HUNDRED)) == pytest.approx(100.0)
    assert not load.holds(phase(100, [0.1] * 94 + [0.3] * 6))  # 95th of 100: 300 ms
    assert not load.holds(phase(100, HUNDRED, failed=1))
    assert not load.holds(phase(100, HUNDRED, seconds=1.1))  # 91 a second


def test_a_rate_is_counted_until_the_last_ranking() -> None:
    step = Phase(1.0, began=100.0)
    assert step.rate == 0.0 and not load.holds(step)
    step.acknowledge(100.5, 101.0)
    step.acknowledge(101.5, 102.0)
    assert step.rate == 1.0 and step.latencies == [0.5, 0.5]


def test_the_rate_of_the_last_step_that_held_is_told_and_how_the_next_one_broke() -> None:
    signing, main = phase(0.0, []), phase(100, HUNDRED)
    slow = phase(200, [0.4] * 200)
    found = load.breaks(load.Run(signing, main, 0.5, steps=[phase(150, HUNDRED + [0.1] * 50), slow]))
    assert found.value == 150 and found.n == 450
    assert "200 asked: 200 served, 400 ms, no failure" in found.note
    never = load.breaks(load.Run(signing, main, 0.5, steps=[phase(150, HUNDRED + [0.1] * 50)]))
    assert never.value == 150 and "did not break" in never.note
    at_once = load.breaks(load.Run(signing, slow, 0.5))
    assert at_once.value == 0.0


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server checks a password at the cost that stands in its hash."""
    hasher = partial(accounts.PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(accounts, "PasswordHasher", hasher)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: object, quick_passwords: None) -> None:
    monkeypatch.setenv("TUTELAGE_CLAIMS_DIR", str(tmp_path))


@pytest.mark.slow
def test_a_small_load_is_measured_on_both_databases(here: None) -> None:
    size = load.Size(raters=4, rankings=24, rate=8.0, steps=(12.0,), step_seconds=1.0)
    rows = dict(load.measured(size))
    assert list(rows) == [claim.name for claim in load.CLAIMS]
    for kind in load.SHOWN:
        if not isinstance(rows[f"p95_{kind}"], Measurement):
            continue  # no PostgreSQL here
        assert rows[f"p95_{kind}"].n >= 24 and rows[f"p95_{kind}"].value > 0
        assert rows[f"lost_{kind}"].value == rows[f"doubled_{kind}"].value == 0
        assert rows[f"lost_{kind}"].n >= 24


@pytest.mark.slow
def test_a_few_kills_lose_nothing_on_either_database(here: None) -> None:
    size = faults.Size(raters=4, rate=8.0, kills=2, up=1.0, prompts=60)
    rows = dict(faults.measured(size))
    assert list(rows) == [claim.name for claim in faults.CLAIMS]
    for kind in load.SHOWN:
        if not isinstance(rows[f"lost_{kind}"], Measurement):
            continue
        assert [rows[f"{what}_{kind}"].value for what in ("lost", "drafts", "doubled")] == [0, 0, 0]
        assert rows[f"lost_{kind}"].n > 0 and "killed 2 times" in rows[f"lost_{kind}"].note
