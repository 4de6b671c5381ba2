"""SFT: learns, stops, resumes to the same bits, and does not care how a batch is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers_training import LORA, KillAt, Killed, demonstrations, tiny_trunk, weights
from tutelage.core.errors import DataError, StoreError
from tutelage.core.recorder import Recorder, read_metrics
from tutelage.core.settings import OptimSettings, SftSettings
from tutelage.models.scoring import response_logprobs
from tutelage.training.resume import FILE
from tutelage.training.sft import accumulate, encode, mean_nll, train_sft, trainable

SETTINGS = SftSettings(
    optim=OptimSettings(learning_rate=1e-2), epochs=3, batch=6, evaluate_every=4, checkpoint_every=2
)


def _train(trunk, adapter, folder, settings=SETTINGS, listeners=()):
    rows = demonstrations()
    recorder = Recorder("sft", folder, listeners)
    return train_sft(trunk, adapter, rows[:20], rows[20:], settings, folder=folder, recorder=recorder, seed=3)


def test_learns_the_answers(tiny_folder: Path, tmp_path: Path) -> None:
    trunk = tiny_trunk(tiny_folder)
    trunk.add_adapter("sft", LORA, 0)
    before = mean_nll(trunk, encode(demonstrations(), trunk.contract))
    metrics = _train(trunk, "sft", tmp_path)
    with trunk.using("sft"):
        after = mean_nll(trunk, encode(demonstrations()[20:], trunk.contract))
    assert after < 0.7 * before
    assert metrics["validation_loss"] == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("step", [1, 5, 9])
def test_resumes_to_the_same_bits(tiny_folder: Path, tmp_path: Path, tune: str, step: int) -> None:
    finals, logs = [], []
    for name, stop in (("whole", None), ("killed", step)):
        folder = tmp_path / name
        folder.mkdir()
        for attempt in (stop, None) if stop else (None,):
            trunk = tiny_trunk(tiny_folder, tune)
            adapter = "sft" if tune == "lora" else None
            if adapter:
                trunk.add_adapter(adapter, LORA, 0)
            if attempt is None:
                _train(trunk, adapter, folder)
            else:
                with pytest.raises(Killed):
                    _train(trunk, adapter, folder, listeners=[KillAt(attempt)])
        finals.append(weights(trunk, adapter))
        logs.append(
            [
                {k: v for k, v in m.items() if k != "tokens_per_second"}
                for m in read_metrics(folder / "metrics.jsonl")
            ]
        )
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
    assert logs[0] == logs[1]


def test_micro_batches_add_up(tiny_folder: Path) -> None:
    gradients = []
    for budget in (10_000, 60):
        trunk = tiny_trunk(tiny_folder)
        trunk.add_adapter("sft", LORA, 0)
        with torch.no_grad():
            for p in trunk.adapter_parameters("sft"):
                p.add_(0.05)
        with trunk.using("sft"):
            accumulate(trunk, encode(demonstrations(8), trunk.contract), budget, 0)
        gradients.append([p.grad.clone() for p in trainable(trunk, "sft") if p.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-6, rtol=1e-4) for a, b in zip(*gradients, strict=True))


def test_only_response_tokens_count(tiny_folder: Path) -> None:
    """The loss is the mean over responses alone: by hand from each response's log-probabilities."""
    trunk = tiny_trunk(tiny_folder)
    pairs = encode(demonstrations(4), trunk.contract)
    each = response_logprobs(trunk, pairs)
    by_hand = -sum(float(x.sum()) for x in each) / sum(len(r) for _, r in pairs)
    assert accumulate_without_gradient(trunk, pairs) == pytest.approx(by_hand, abs=1e-5)


def accumulate_without_gradient(trunk, pairs):
    trunk.add_adapter("probe", LORA, 0)
    with trunk.using("probe"):
        return accumulate(trunk, pairs, 10_000, 0)


def test_stops_when_validation_no_longer_improves(tiny_folder: Path, tmp_path: Path) -> None:
    trunk = tiny_trunk(tiny_folder)
    trunk.add_adapter("sft", LORA, 0)
    wild = SETTINGS.model_copy(
        update={"optim": OptimSettings(learning_rate=1.0), "epochs": 50, "evaluate_every": 1, "patience": 2}
    )
    start = mean_nll(trunk, encode(demonstrations()[20:], trunk.contract))
    metrics = _train(trunk, "sft", tmp_path, wild)
    assert metrics["steps"] < 50 * 4
    with trunk.using("sft"):
        kept = mean_nll(trunk, encode(demonstrations()[20:], trunk.contract))
    assert kept <= start + 1e-6  # the best weights are kept, not the last


def test_bad_input_is_one_sentence(tiny_folder: Path, tmp_path: Path) -> None:
    trunk = tiny_trunk(tiny_folder)
    trunk.add_adapter("sft", LORA, 0)
    with pytest.raises(DataError, match=r"no demonstrations.*data\.demonstrations"):
        train_sft(trunk, "sft", [], [], SETTINGS, folder=tmp_path, recorder=Recorder("sft"), seed=0)
    (tmp_path / FILE).write_bytes(b"not a checkpoint")
    with pytest.raises(StoreError, match="damaged.*delete it"):
        _train(trunk, "sft", tmp_path)
