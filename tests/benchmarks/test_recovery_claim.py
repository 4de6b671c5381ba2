"""The simulated raters are as reliable as is said, and every row of the claim is measured."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.claims.people import recovery
from benchmarks.claims.people.simulated import Size, draw_world

SMALL = Size(prompts=150, overlap=4, honest=6, careless=1, first=1, length=1, colluding=2)


def test_what_is_said_of_the_raters_is_true_of_their_judgements() -> None:
    world = draw_world(
        Size(prompts=1500, overlap=3, honest=3, careless=1, first=1, length=1, colluding=2), seed=3
    )
    right: dict[str, list[bool]] = {}
    for judgement in world.judgements:
        score = [world.truth[group[0]] for group in judgement.ranking]
        i, j = np.triu_indices(len(score), 1)
        right.setdefault(judgement.rater, []).extend((np.array(score)[i] > np.array(score)[j]).tolist())
    for name, reliability in world.reliability.items():
        assert np.mean(right[name]) == pytest.approx(reliability, abs=0.025), name
    assert world.named("colluding") == {"colluding-0", "colluding-1"}


def test_every_claim_is_measured() -> None:
    rows = dict(recovery.measured(SMALL, (0,)))
    assert list(rows) == [claim.name for claim in recovery.CLAIMS]
    assert rows["reliability"].n == 1 and rows["reliability"].value > 0.7
    assert rows["falsely"].n == 6
    assert rows["colluding"].n == 2 and rows["biased"].n == 2
    assert "against" in rows["aggregate"].note
