"""Artifacts: sealed last and atomically, read back as written, and every kind of damage noticed."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import StoreError
from tutelage.core.hashing import file_sha256
from tutelage.core.records import Artifact
from tutelage.store import artifacts
from tutelage.store.artifacts import (
    MANIFEST,
    artifact_folder,
    clear,
    find_artifact,
    finished_artifacts,
    plain,
    read_artifact,
    seal,
)


def planned(stage: str = "sft", seed: int = 1) -> Artifact:
    return Artifact(stage, {"data": "d" * 16}, {"sft": {"epochs": 2, "betas": [0.9, 0.95]}}, seed, "0.1.0")


def make(project: Path, artifact: Artifact | None = None) -> artifacts.Finished:
    artifact = artifact or planned()
    folder = artifact_folder(project, artifact.stage, artifact.id)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights.bin").write_bytes(b"\x01\x02\x03\x04")
    (folder / "metrics.jsonl").write_text('{"step": 0}\n')
    (folder / ".tries.json").write_text("{}")
    return seal(folder, artifact)


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    sealed = make(tmp_path)
    found = read_artifact(sealed.folder)
    assert found == sealed
    assert found is not None and found.problem(full=True) is None
    assert found.artifact.id == planned().id == sealed.folder.name
    # The hash of the four bytes 01 02 03 04 as sha256sum prints it.
    known = "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a"
    assert found.artifact.files["model/weights.bin"] == known
    assert found.sizes == {"metrics.jsonl": 12, "model/weights.bin": 4}


def test_a_folder_without_manifest_is_not_finished(tmp_path: Path) -> None:
    assert read_artifact(tmp_path) is None
    assert finished_artifacts(tmp_path, "sft") == []


def test_a_seal_that_fails_leaves_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        make(tmp_path)
    folder = artifact_folder(tmp_path, "sft", planned().id)
    assert read_artifact(folder) is None
    assert not list(folder.glob("*.tmp"))
    assert (folder / "model" / "weights.bin").exists()


@pytest.mark.parametrize(
    ("damage", "said", "full"),
    [
        (lambda f: (f / "model" / "weights.bin").unlink(), "weights.bin is missing", False),
        (lambda f: (f / "model" / "weights.bin").write_bytes(b"\x01"), "has 1 bytes instead of 4", False),
        (lambda f: (f / "model" / "weights.bin").write_bytes(b"\x01\x02\x03\x05"), "was changed", True),
    ],
)
def test_damaged_files_are_noticed(tmp_path: Path, damage, said: str, full: bool) -> None:
    sealed = make(tmp_path)
    damage(sealed.folder)
    found = read_artifact(sealed.folder)
    assert found is not None
    assert said in (found.problem(full) or "")
    if full:
        assert found.problem() is None  # same size: only the hash can tell


def test_a_checkpoint_is_kept_until_the_manifest_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = artifact_folder(tmp_path, "sft", planned().id)
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"hours of work")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(artifacts, "write_atomically", killed)
        seal(folder, planned())
    assert (folder / "checkpoint.pt").exists()
    assert seal(folder, planned()).artifact.files == {}
    assert not (folder / "checkpoint.pt").exists()


def test_a_manifest_that_was_edited_is_noticed(tmp_path: Path) -> None:
    sealed = make(tmp_path)
    values = json.loads((sealed.folder / MANIFEST).read_text())
    values["recipe"]["sft"]["epochs"] = 3
    (sealed.folder / MANIFEST).write_text(json.dumps(values))
    found = read_artifact(sealed.folder)
    assert found is not None and "manifest was changed" in (found.problem() or "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": "sft"}', '{"sizes": {}, "surprise": 1}'])
def test_a_manifest_that_cannot_be_read_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(StoreError, match=r"manifest .* is damaged .*: run its stage again"):
        read_artifact(tmp_path)


def test_seal_refuses_a_folder_of_another_artifact(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not the one of the artifact"):
        seal(tmp_path, planned())


def test_the_newest_comes_first_and_unreadable_ones_are_left_out(tmp_path: Path) -> None:
    for seed, when in ((1, "2026-01-02"), (2, "2026-01-03"), (3, "2026-01-01")):
        sealed = make(tmp_path, planned(seed=seed))
        values = json.loads((sealed.folder / MANIFEST).read_text())
        (sealed.folder / MANIFEST).write_text(json.dumps({**values, "finished": when}))
    broken = artifact_folder(tmp_path, "sft", "0" * 16)
    broken.mkdir()
    (broken / MANIFEST).write_text("{")
    assert [f.artifact.seed for f in finished_artifacts(tmp_path, "sft")] == [2, 1, 3]


def test_find_by_the_start_of_an_id(tmp_path: Path) -> None:
    sealed = make(tmp_path)
    assert find_artifact(tmp_path, sealed.id[:6]) == sealed
    with pytest.raises(StoreError, match="no finished artifact 'zz'"):
        find_artifact(tmp_path, "zz")
    with pytest.raises(StoreError, match="no finished artifact"):
        find_artifact(tmp_path, "../..")
    with pytest.raises(StoreError, match="several artifacts"):
        find_artifact(tmp_path, _shared_start(tmp_path))


def _shared_start(project: Path) -> str:
    """Copies one artifact under an id that starts alike, and returns the common start."""
    first = next((project / "artifacts" / "sft").iterdir())
    twin = first.with_name(first.name[:8] + "0" * 8)
    twin.mkdir()
    return first.name[:8]


def test_clear_removes_the_manifest_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = make(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        clear(sealed.folder)
    assert (sealed.folder / "metrics.jsonl").exists()
    assert read_artifact(sealed.folder) is None
    monkeypatch.undo()
    clear(sealed.folder)
    assert list(sealed.folder.iterdir()) == []


def test_metrics_become_plain_json() -> None:
    given = {"loss": np.float32(0.5), "count": np.int64(3), "nan": float("nan"), "deep": [(1, float("inf"))]}
    assert plain(given) == {"loss": 0.5, "count": 3, "nan": None, "deep": [[1, None]]}
    with pytest.raises(TypeError, match="set"):
        plain({"x": {1}})


def test_the_hash_in_the_manifest_is_the_files_own(tmp_path: Path) -> None:
    sealed = make(tmp_path)
    for name, sha256 in sealed.artifact.files.items():
        assert file_sha256(sealed.folder / name) == sha256
