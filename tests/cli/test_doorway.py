"""The doorway is quick: what `--help` and `status` import, and what they take, in fresh processes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.fakes import make_project

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
HEAVY = ("torch", "transformers", "sqlalchemy", "pyarrow", "numpy", "rich")
SCRIPT = """
import json, sys
from tutelage.cli import main
try:
    main()
except SystemExit as ended:
    loaded = [m for m in sys.modules if "." not in m]
    print(json.dumps({"code": ended.code, "loaded": loaded}), file=sys.stderr)
"""


def loaded(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
    )
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["code"] in (0, None), done.stderr
    return set(told["loaded"])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["chat", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded(*arguments) & {*HEAVY, "pydantic", "yaml"}


def test_status_imports_nothing_heavy(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    assert not loaded("--project", str(tmp_path / "p"), "status", "--json") & set(HEAVY)


@pytest.mark.parametrize("verb", ["--help", "status"])
def test_cpu_seconds_are_reported(tmp_path: Path, verb: str, record_property) -> None:
    project = make_project(tmp_path / "p")
    subprocess.run(
        [sys.executable, "-m", "tutelage", verb],
        cwd=project,
        capture_output=True,
        check=True,
        env=ENVIRONMENT,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "tutelage", verb],
        cwd=project,
        capture_output=True,
        check=True,
        env=ENVIRONMENT,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    record_property("cpu_seconds", round(seconds, 3))
    print(f"tutelage {verb}: {seconds:.2f} s of CPU")
    assert done.stdout


def test_python_m_shows_one_sentence_and_leaves_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tutelage", "status"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_no_colours_when_asked(tmp_path: Path) -> None:
    env = {**ENVIRONMENT, "NO_COLOR": "1", "FORCE_COLOR": ""}
    done = subprocess.run(
        [sys.executable, "-m", "tutelage", "--help"], capture_output=True, text=True, env=env
    )
    assert "\x1b[" not in done.stdout


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    command = f"{sys.executable} -m tutelage -C {tmp_path / 'p'} status --json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout == "{\n" and done.stderr == ""
