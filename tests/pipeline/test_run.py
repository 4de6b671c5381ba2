"""Running: each stage once, only what changed again, and nothing that is lost when something goes wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.fakes import FAKES, make_project, read_log, with_function
from tutelage.core.errors import ResourceError, StoreError, TrainingError
from tutelage.core.recorder import read_metrics
from tutelage.pipeline import run as running
from tutelage.pipeline.graph import Stage, StageContext
from tutelage.pipeline.lock import project_lock
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent, StageNews
from tutelage.pipeline.run import Outcome
from tutelage.store.artifacts import read_artifact
from tutelage.store.database import Database
from tutelage.store.records import Records


class Ears(Silent):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, news: StageNews) -> None:
        self.heard.append(f"{news.place}/{news.total} {news.stage}{' resumed' if news.resumed else ''}")

    def kept(self, stage: str) -> None:
        self.heard.append(f"kept {stage}")

    def said(self, stage: str, text: str) -> None:
        self.heard.append(f"{stage}: {text}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


def run(folder: Path, *overrides: str, stages: tuple[Stage, ...] = FAKES, **options: Any) -> Outcome:
    return Project(folder, stages=stages).run(
        *overrides, reporter=options.pop("reporter", Silent()), **options
    )


def test_everything_runs_once(folder: Path) -> None:
    first = run(folder)
    assert first.ran == ("data", "sft", "reward", "ppo")
    before = read_log(folder)
    ears = Ears()
    second = run(folder, reporter=ears)
    assert second.ran == () and read_log(folder) == before
    assert ears.heard == ["kept data", "kept sft", "kept reward", "kept ppo"]
    assert {k: v.id for k, v in second.artifacts.items()} == {k: v.id for k, v in first.artifacts.items()}


def test_stages_are_handed_what_they_need_and_sealed_with_what_they_left(folder: Path) -> None:
    done = run(folder).artifacts
    handed = json.loads((done["ppo"].folder / "output.txt").read_text())
    assert set(handed["inputs"]) == {"sft", "reward"}
    assert dict(done["ppo"].artifact.inputs) == {"sft": done["sft"].id, "reward": done["reward"].id}
    assert set(done["data"].artifact.inputs) == {"rows.jsonl", "evaluation/eval_helpful.jsonl"}
    assert done["data"].artifact.metrics == {"value": 1.5, "nothing": None}
    assert set(done["data"].artifact.files) == {"metrics.jsonl", "output.txt"}
    assert read_metrics(done["data"].folder / "metrics.jsonl") == [{"step": 0, "value": 1.5}]


def test_only_what_is_needed_runs_and_a_change_reruns_only_what_rests_on_it(folder: Path) -> None:
    assert run(folder, to="reward").ran == ("data", "reward")
    assert run(folder).ran == ("sft", "ppo")
    assert run(folder, "ppo.iterations=3").ran == ("ppo",)
    assert run(folder, "reward.epochs=3").ran == ("reward", "ppo")
    assert run(folder).ran == ()  # what was made first is still there
    (folder / "rows.jsonl").write_text('{"prompt": "3+3?", "completion": "6"}\n')
    assert run(folder).ran == ("data", "sft", "reward", "ppo")


def test_force_runs_one_stage_again_in_an_empty_folder(folder: Path) -> None:
    old = run(folder).artifacts["reward"]
    (old.folder / "left over.txt").write_text("x")
    assert run(folder, force=["reward"]).ran == ("reward",)
    assert not (old.folder / "left over.txt").exists()
    with pytest.raises(StoreError, match="no stage 'nonsense'"):
        run(folder, force=["nonsense"])


def test_a_damaged_artifact_is_reported_and_made_again(folder: Path) -> None:
    done = run(folder).artifacts["reward"]
    (done.folder / "output.txt").write_text("cut")
    ears = Ears()
    assert run(folder, reporter=ears).ran == ("reward",)
    (said,) = [h for h in ears.heard if h.startswith("reward:")]
    assert "output.txt has 3 bytes" in said and "made again" in said
    again = read_artifact(done.folder)
    assert again is not None and again.problem(full=True) is None
    (done.folder / "manifest.json").write_text("{")
    assert run(folder).ran == ("reward",)


def test_same_recipe_and_seed_give_the_same_bytes_in_another_place(folder: Path, tmp_path: Path) -> None:
    other = make_project(tmp_path / "moved" / "elsewhere")
    here, there = run(folder).artifacts, run(other).artifacts
    assert {k: v.id for k, v in here.items()} == {k: v.id for k, v in there.items()}
    assert {k: v.artifact.files for k, v in here.items()} == {k: v.artifact.files for k, v in there.items()}


def test_a_stage_that_fails_keeps_its_folder_and_what_came_before(folder: Path) -> None:
    def breaks(context: StageContext) -> dict[str, Any]:
        (context.folder / "checkpoint.json").write_text("half")
        raise TrainingError("the loss of sft is not a number at step 3: lower sft.optim.learning_rate")

    with pytest.raises(TrainingError, match="not a number"):
        run(folder, stages=with_function("sft", breaks))
    ears = Ears()

    def goes_on(context: StageContext) -> dict[str, Any]:
        assert (context.folder / "checkpoint.json").read_text() == "half"
        (context.folder / "checkpoint.json").unlink()
        (context.folder / "output.txt").write_text("whole")
        return {}

    assert run(folder, stages=with_function("sft", goes_on), reporter=ears).ran == ("sft", "reward", "ppo")
    assert ears.heard[:2] == ["kept data", "2/4 sft resumed"]


@pytest.mark.parametrize(
    ("problem", "kind", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            ResourceError,
            "the disk is full while running sft",
        ),
        (OSError(errno.EDQUOT, "Quota exceeded"), ResourceError, "the disk is full while running sft"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ResourceError, "the disk is full"),
        (PermissionError(errno.EACCES, "denied", "/x/model"), StoreError, "/x/model cannot be written"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), StoreError, "/x cannot be written"),
        (MemoryError(), ResourceError, "not enough memory for running sft"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ResourceError, "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files"), ResourceError, "ulimit -n"),
    ],
)
def test_faults_of_the_machine_are_one_sentence(
    folder: Path, problem: Exception, kind: type[Exception], said: str
) -> None:
    def breaks(_: StageContext) -> dict[str, Any]:
        raise problem

    with pytest.raises(kind, match=said) as caught:
        run(folder, stages=with_function("sft", breaks))
    assert "\n" not in str(caught.value)
    assert run(folder).ran == ("sft", "reward", "ppo")  # what was done before is kept


def test_seconds_of_tries_that_were_killed_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.time, "time", lambda: 1000.0)
    assert running._begin_try(tmp_path) == 0.0
    (tmp_path / "checkpoint.pt").write_text("")
    # The first try began at 1000 and last wrote at 1030; the second began at 2000 and last wrote at 2012.
    for began, wrote, expected in ((2000.0, 1030.0, 30.0), (3000.0, 2012.0, 42.0)):
        for path in tmp_path.iterdir():
            os.utime(path, (wrote, wrote))
        monkeypatch.setattr(running.time, "time", lambda began=began: began)
        assert running._begin_try(tmp_path) == expected
    (tmp_path / ".tries.json").write_text("{cut off")
    assert running._begin_try(tmp_path) == 0.0


def test_a_fault_of_ours_is_not_dressed_up(folder: Path) -> None:
    def breaks(_: StageContext) -> dict[str, Any]:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        run(folder, stages=with_function("sft", breaks))


def test_too_little_disk_is_said_before_the_stage_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1_000_000

    monkeypatch.setattr(running.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(ResourceError, match=r"data may write 50 MB and 1\.0 MB are free on the disk of"):
        run(folder)
    assert read_log(folder) == []


def test_two_runs_in_one_project_are_refused(folder: Path) -> None:
    with project_lock(folder), pytest.raises(StoreError, match=r"another run \(process \d+\) is at work in"):
        run(folder)
    assert run(folder, to="data").ran == ("data",)


def test_missing_data_stops_before_anything_runs(folder: Path) -> None:
    (folder / "rows.jsonl").unlink()
    with pytest.raises(Exception, match=r"data\.demonstrations: there is no file or folder rows\.jsonl"):
        run(folder)
    assert read_log(folder) == []


def test_a_wrong_database_address_stops_before_anything_runs(folder: Path) -> None:
    with pytest.raises(StoreError, match="no database address"):
        run(folder, "database=nonsense")
    assert read_log(folder) == []


def test_manifests_and_records_reach_the_database(folder: Path) -> None:
    prompt = {"messages": [{"role": "user", "content": "2+2?"}], "source": "rows", "split": "train"}

    def imports(context: StageContext) -> dict[str, Any]:
        rows = [{"prompt": prompt, "response": str(i)} for i in range(4)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (context.folder / "demonstrations.jsonl").write_text(text)
        (context.folder / "output.txt").write_text("")
        return {}

    done = run(folder, to="reward", stages=with_function("data", imports)).artifacts
    with Database.open("sqlite:///tutelage.db", folder) as db:
        records = Records(db)
        assert records.demonstrations.count(split="train") == 4
        assert records.artifacts.get(done["reward"].id) == done["reward"].artifact
    (folder / "tutelage.db").unlink()
    assert run(folder, to="data", stages=with_function("data", imports)).ran == ()
    with Database.open("sqlite:///tutelage.db", folder) as db:
        assert Records(db).demonstrations.count() == 4  # made again from the artifact
