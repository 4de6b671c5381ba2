"""Broken input: one clear sentence each, exit code 2, no traceback, and nothing lost."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.pipeline.fakes import with_function
from tutelage.core.errors import TrainingError
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.lock import project_lock
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent


def rewrite(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "tutelage.yaml"
        path.write_text(path.read_text().replace(old, new))

    return change


def nothing(_: Path) -> None:
    pass


def binary(folder: Path) -> None:
    (folder / "tutelage.yaml").write_bytes(b"name: \xff\xfe\n")


def no_evaluation(folder: Path) -> None:
    (folder / "evaluation" / "eval_helpful.jsonl").unlink()
    (folder / "evaluation").rmdir()


def database_overwritten(folder: Path) -> None:
    (folder / "tutelage.db").write_bytes(b"not a database at all " * 300)
    for name in ("tutelage.db-wal", "tutelage.db-shm"):
        (folder / name).unlink(missing_ok=True)


CASES: list[tuple[str, Callable[[Path], None], list[str], str]] = [
    ("YAML", rewrite("sft: {epochs: 1}", "sft: {epochs: 1"), ["run"], "tutelage.yaml:"),
    ("unknown setting", rewrite("epochs", "epoch"), ["run"], "'sft.epoch': did you mean 'epochs'?"),
    ("out of bounds", rewrite("epochs: 1", "epochs: 0"), ["status"], "'sft.epochs'"),
    ("wrong type", rewrite("epochs: 1", "epochs: many"), ["run"], "'sft.epochs'"),
    ("a list", lambda f: (f / "tutelage.yaml").write_text("- a\n") and None, ["run"], "holds no recipe"),
    ("empty", lambda f: (f / "tutelage.yaml").write_text("") and None, ["run"], "holds no recipe"),
    ("not text", binary, ["status"], "cannot be read as text"),
    ("no name", rewrite("name: small\n", ""), ["run"], "needs the setting 'name'"),
    ("not an override", nothing, ["sft", "fast"], "'fast' is not an override: write key=value"),
    ("override of no group", nothing, ["run", "name.x=1"], "'name', which is not a group"),
    ("override unknown", nothing, ["run", "ppo.iteration=1"], "did you mean 'iterations'?"),
    ("unknown policy", nothing, ["run", "policies=[ppo,bpo]"], "no method 'bpo': choose from ppo, rloo"),
    ("policy named twice", nothing, ["status", "policies=[dpo,dpo]"], "'dpo' is named twice"),
    ("no policy", rewrite("name: small", "name: s\npolicies: []"), ["run"], "at least one method of ppo"),
    ("loss of another method", nothing, ["run", "dpo.loss=kto"], "'dpo.loss'"),
    ("no data file", lambda f: (f / "rows.jsonl").unlink(), ["run"], "no file or folder rows.jsonl"),
    ("no pack", rewrite("rows.jsonl", "pack:none"), ["run"], "there is no pack 'none': shipped are"),
    ("no evaluation", no_evaluation, ["run"], "no file or folder evaluation"),
    ("no stage", nothing, ["run", "--to", "polish"], "no stage 'polish': the stages are"),
    ("no stage to force", nothing, ["run", "--force", "polish"], "no stage 'polish'"),
    ("no address", rewrite("name: small", "name: s\ndatabase: nowhere"), ["run"], "no database address"),
    ("database overwritten", database_overwritten, ["run"], "tutelage.db is damaged"),
    ("no artifact", nothing, ["status", "--lineage", "beef"], "no finished artifact 'beef'"),
    ("a project already", nothing, ["init", "."], "is a project already"),
    ("no recipe", nothing, ["init", "x", "--recipe", "none"], "no recipe 'none': shipped are"),
    ("no project", nothing, ["--project", "/", "status"], "is in no project"),
    ("no folder", nothing, ["run", "-C", "nowhere"], "there is no folder nowhere"),
    ("nobody to talk to", nothing, ["chat", "hi"], "ppo is not done for this recipe"),
    ("no model", nothing, ["models", "show", "none"], "no model 'none' is here"),
    ("no file to check", nothing, ["data", "check", "none.jsonl"], "there is no file none.jsonl"),
    ("no card", nothing, ["data", "show", "none"], "there is no pack 'none'"),
]


def one_sentence(result: Any) -> str:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and result.stderr.splitlines()[-1] == lines[0]
    return lines[0]


@pytest.mark.parametrize(("breakage", "arguments", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_one_sentence(
    folder: Path, command: Command, breakage: Callable[[Path], None], arguments: list[str], said: str
) -> None:
    done = Project(folder).run(to="reward", reporter=Silent()).artifacts
    breakage(folder)
    assert said in one_sentence(command(*arguments))
    assert all(found.problem(full=True) is None for found in done.values())


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full while running sft"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/model"), "/data/model cannot be written"),
        (MemoryError(), "not enough memory for running sft"),
        (
            TrainingError("the loss of sft is not a number at step 3: lower the rate"),
            "not a number at step 3",
        ),
    ],
)
def test_a_stage_that_cannot_go_on(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, problem: Exception, said: str
) -> None:
    def breaks(_: StageContext) -> dict[str, Any]:
        raise problem

    with monkeypatch.context() as patch:
        patch.setitem(Project.__init__.__kwdefaults__, "stages", with_function("sft", breaks))
        assert said in one_sentence(command("run"))
    assert command("run").stdout.startswith("ran sft, reward, ppo in")


def test_a_second_run(folder: Path, command: Command) -> None:
    with project_lock(folder):
        assert "another run (process" in one_sentence(command("run"))
        assert "running now: process" in command("status").stdout


def test_a_fault_of_ours_shows_itself(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_: StageContext) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setitem(Project.__init__.__kwdefaults__, "stages", with_function("sft", breaks))
    with pytest.raises(ZeroDivisionError):
        command("run")
