"""The Recorder: what is logged is there, a cut line is not, and going on forgets what came after."""

from __future__ import annotations

from pathlib import Path

from tutelage.core.hashing import content_id, file_sha256
from tutelage.core.recorder import Recorder, read_metrics


class Ears:
    def __init__(self) -> None:
        self.heard: list[tuple] = []

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None:
        self.heard.append((stage, step, values))

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        self.heard.append((stage, done, total, unit, note))


def test_listeners_and_the_file_hear_the_same(tmp_path: Path) -> None:
    ears = Ears()
    recorder = Recorder("sft", tmp_path, [ears])
    recorder.log(1, loss=2.0, accuracy=float("nan"))
    recorder.progress(1, 4, 100.0, note="loss 2")
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 2.0, "accuracy": None}]
    assert ears.heard[0][:2] == ("sft", 1)
    assert ears.heard[1] == ("sft", 1, 4, "tokens", "loss 2")


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1, "loss": 2.0}]


def test_rewinding_forgets_later_steps(tmp_path: Path) -> None:
    recorder = Recorder("sft", tmp_path)
    for step in range(5):
        recorder.log(step, loss=float(step))
    recorder.rewind(2)
    recorder.log(3, loss=9.0)
    assert [m["loss"] for m in read_metrics(tmp_path / "metrics.jsonl")] == [0.0, 1.0, 2.0, 9.0]


def test_hashes(tmp_path: Path) -> None:
    assert (
        content_id("a", {"x": 1, "y": 2})
        == content_id("a", {"y": 2, "x": 1})
        != content_id("b", {"x": 1, "y": 2})
    )
    (tmp_path / "f").write_bytes(b"abc")
    # the published test vector of SHA-256 for "abc"
    assert file_sha256(tmp_path / "f").startswith("ba7816bf8f01cfea414140de5dae2223")
