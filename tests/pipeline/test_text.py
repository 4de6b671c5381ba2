"""What a person reads: durations, tables, progress."""

from __future__ import annotations

import pytest

from tutelage.pipeline import reporters
from tutelage.pipeline.reporters import Pace, Plain, StageNews, finish_text, progress_text
from tutelage.pipeline.table import amount, duration, summary_table, text_table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (1, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_amounts() -> None:
    assert [amount(x) for x in (12, 4_200, 93e6, 1.4e9, 28e9)] == [
        "12 B",
        "4.2 kB",
        "93 MB",
        "1.4 GB",
        "28 GB",
    ]


def test_columns_align() -> None:
    assert text_table(["a", "number"], [["long word", "1"], ["b", "200"]], right=[1]) == [
        "a          number",
        "─────────  ──────",
        "long word       1",
        "b             200",
    ]


def measure(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, object]:
    return {"value": value, "low": low, "high": high, "n": 104}


def test_the_closing_table() -> None:
    summary = {
        "base": {"harmful_compliance": measure(0.788, 0.70, 0.856), "win_rate_vs_base": measure(0.5)},
        "sft": {"harmful_compliance": measure(0.298, 0.218, 0.392), "win_rate_vs_base": measure(0.59)},
        "ppo": {"harmful_compliance": measure(0.135, 0.082, 0.213), "win_rate_vs_base": measure(None)},
    }
    lines = summary_table(summary)
    assert lines[0].split() == ["base", "SFT", "PPO"]
    assert lines[2] == "harmful requests complied with  ↓  79% [70, 86]  30% [22, 39]  14% [8, 21]"
    assert lines[3].split()[-3:] == ["50%", "59%", "–"]
    assert len(lines) == 5  # measures that nobody has are left out
    assert summary_table({"stages": summary}) == lines
    assert summary_table({"seed": 17}) == []


def test_more_models_than_fit_stand_below_beside_the_base() -> None:
    models = ("base", "sft", "ppo", "rloo", "grpo", "dpo", "kto")
    summary = {name: {"honesty": measure(0.5, 0.4, 0.6)} for name in models} | {"paired": {}, "project": {}}
    lines = summary_table(summary)
    heads = [line.split() for line in lines if line.startswith(" ")]
    assert heads == [["base", "SFT", "PPO", "RLOO"], ["base", "GRPO", "DPO", "KTO"]]
    assert max(map(len, lines)) < 100


def test_time_left_goes_by_this_try_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(reporters.time, "monotonic", lambda: now[0])
    pace = Pace()
    assert pace.left(50, 100) is None  # resumed in the middle
    now[0] = 110.0
    # 10 steps in 10 s, 40 to go: 40 s. Counting all 60 steps would say 7 s.
    assert pace.left(60, 100) == pytest.approx(40.0)


def test_progress_text() -> None:
    assert progress_text(3, 9, 842.4, "tokens", 130, "loss 1.2") == "3/9, 842 tokens/s, 2 min left, loss 1.2"
    assert progress_text(9, 9, 0.52, "responses", 0.0, "") == "9/9, 0.5 responses/s"
    assert (
        finish_text(61, {"loss": 1.23456, "steps": 26.0, "name": "x"}) == "done in 61 s: loss 1.23, steps 26"
    )


def test_plain_lines_come_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lines = [0.0], []
    monkeypatch.setattr(reporters.time, "monotonic", lambda: now[0])
    plain = Plain(lines.append)
    plain.started(StageNews("sft", "learns", 2, 9, 120.0, True))
    for step in range(1, 101):
        now[0] += 0.2
        plain.progress("sft", step, 100, 10.0, "tokens", "")
    plain.finished("sft", 20.0, {})
    assert lines[0] == "[2/9] sft: learns (goes on from where it was stopped, about 2 min)"
    assert 5 <= len(lines) <= 7  # one every 5 of 20 seconds, the last step, and both ends
    assert "100/100" in lines[-2] and lines[-1] == "  sft: done in 20 s"
