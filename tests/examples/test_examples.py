"""The examples run as they stand, and what they print at the end is that they learned."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TWINS = ("sft", "reward_model", "ppo")


def run(name: str) -> str:
    """The output of an example, run as a reader would run it."""
    place = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], env=place, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_a_twin_learns(name: str) -> None:
    assert run(name).strip().splitlines()[-1] == "learned"


@pytest.mark.slow
def test_the_api_goes_the_whole_road() -> None:
    said = run("api")
    assert "ran sample, judge, reward, referee, ppo, evaluate, report" in said
    assert "ppo: over-refusal" in said
    assert "pack:starter/demonstrations.jsonl" in said


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_flat(name: str) -> None:
    """Of Tutelage it takes the objectives and the tiny model alone, and it can be read in one go."""
    text = (EXAMPLES / f"{name}.py").read_text()
    taken = {line.split()[1] for line in text.splitlines() if line.startswith("from tutelage")}
    assert {t for t in taken if not t.startswith("tutelage.objectives.")} == {"tutelage.models.tiny"}
    assert len(text.splitlines()) <= 160
