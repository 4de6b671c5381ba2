"""The broken inputs of the claim `main-job.bad_input`, in this process: one sentence, exit 2, nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.claims.bad_input import Case, in_folder, pattern_project, run_in_process, verdict
from benchmarks.claims.bad_input_cases import CASES


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its data and SFT stages done."""
    import torch

    from tutelage.pipeline.project import Project
    from tutelage.pipeline.reporters import Silent

    torch.set_num_threads(1)
    folder = pattern_project(tmp_path_factory.mktemp("pattern") / "project")
    with in_folder(folder):
        Project(folder).run(to="sft", reporter=Silent())
    return folder


def test_there_are_25() -> None:
    assert len({case.name for case in CASES}) == 25


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_one_sentence(case: Case, pattern: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pattern, tmp_path / "project")
    assert verdict(case, folder, run_in_process) is None
