"""The ensembles' rows: what noise alone makes of a calibration error, and every row is told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from benchmarks.claims.claim import Measurement
from benchmarks.claims.training_core import ensembles


def test_noise_is_the_error_of_a_forecast_that_is_right() -> None:
    p = expit(np.random.default_rng(0).normal(size=400))
    # 8 bins of 50: mean of |normal| is 0.8 deviations, sqrt(0.22 / 50) each
    assert ensembles.noise(p) == pytest.approx(0.8 * np.sqrt(0.22 / 50), rel=0.1)
    assert ensembles.noise(np.tile(p, 25)) < 0.25 * ensembles.noise(p)
    assert ensembles.noise(1 - p) == pytest.approx(ensembles.noise(p))


def test_every_claim_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a planted pair of models: the ensemble is sure where it is right, the one is never sure."""
    draw = np.random.default_rng(1)
    prompts = [f"p{i}" for i in range(300)]
    good = expit(draw.normal(1.0, 1.5, 300))
    found = {"correlation": 0.7, "disagreement": 0.2, "member_accuracy": 0.6, "member_brier": 0.23}
    measured = {"ensemble": found, "accuracy": {"value": float((good > 0.5).mean())}}
    answers = {1: np.full(300, 0.51), ensembles.MEMBERS: good}
    monkeypatch.setattr(ensembles, "trained", lambda size, members: (answers[members], prompts, measured))
    monkeypatch.setattr(ensembles, "time_ratio", lambda size: Measurement(1.8, 7))
    monkeypatch.setattr(ensembles, "memory_ratio", lambda size: Measurement(1.2, 2))
    rows = dict(ensembles.measured(ensembles.Size()))
    assert list(rows) == [claim.name for claim in ensembles.CLAIMS]
    # always 0.51: 0.49^2; the gain is that less the other's
    assert rows["gain"].value == pytest.approx(0.49**2 - float(((1 - good) ** 2).mean()))
    assert rows["gain"].low > 0
    assert rows["diversity"].value == 0.7
    assert rows["calibration"].n == 300
