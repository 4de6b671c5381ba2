"""The benchmark's own arithmetic: pairs and their ratio, the work that both sides get, floors, turns, the page."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.bench import floor, page, pairs, rows, runs, workloads
from benchmarks.bench.sides import Side, SideFailed, family
from benchmarks.claims.claim import Measurement, NotMeasured
from benchmarks.claims.training_core import speed

SHAPE = floor.Shape(layers=2, width=8, inner=16, kv_width=4, vocabulary=100)


class Clock:
    """A side whose repetitions take the given seconds; it notes its turns in a list shared with the other."""

    def __init__(self, name: str, seconds: list[float], turns: list[str]) -> None:
        self.name, self.seconds, self.turns = name, list(seconds), turns

    def measure(self) -> float:
        self.turns.append(self.name)
        return self.seconds.pop(0)


def test_sides_take_turns_and_the_warm_up_is_left_out() -> None:
    turns: list[str] = []
    told: list[int] = []
    ours, theirs = Clock("ours", [9.0, 1.0, 2.0], turns), Clock("theirs", [99.0, 4.0, 4.0], turns)
    found = pairs.interleave(ours, theirs, 1, 2, lambda number, *_: told.append(number))
    assert found == [(1.0, 4.0), (2.0, 4.0)]
    assert turns == ["ours", "theirs"] * 3
    assert told == [-1, 0, 1]


def test_the_ratio_is_the_geometric_mean_of_pairs() -> None:
    # 4/1 and 4/2: ratios 4 and 2, whose geometric mean is sqrt(8)
    found = pairs.compare([(1.0, 4.0), (2.0, 4.0)], [10.0, 30.0], higher_is_better=True)
    assert found.ratio == pytest.approx(math.sqrt(8))
    assert (found.low, found.high) == (2.0, 4.0)
    assert found.ours == (10.0, 15.0)  # 10 units in 1 s, 30 in 2 s
    assert found.theirs == (2.5, 7.5)


def test_the_same_ratio_whichever_way_the_unit_goes() -> None:
    seconds = [(1.0, 4.0), (2.0, 4.0)]
    rate, time = (pairs.compare(seconds, [1.0, 1.0], higher_is_better=up) for up in (True, False))
    assert rate.ratio == time.ratio
    assert time.ours == (1.0, 2.0)
    turned = pairs.compare([(b, a) for a, b in seconds], [1.0, 1.0], higher_is_better=True)
    assert turned.ratio == pytest.approx(1 / rate.ratio)


@pytest.mark.parametrize(
    ("seconds", "units"), [([], []), ([(1.0, 1.0)], []), ([(0.0, 1.0)], [1.0]), ([(1.0, 1.0)], [0.0])]
)
def test_what_cannot_be_compared_is_refused(seconds: Any, units: Any) -> None:
    with pytest.raises(ValueError, match="pair|repetition"):
        pairs.compare(seconds, units, higher_is_better=True)


def drawn(seed: int = 0) -> list[workloads.Pair]:
    lengths = json.loads(workloads.LENGTHS.read_text())
    return workloads.drawn_pairs(lengths, 1000, 2, seed)


def work(scale: workloads.Scale = workloads.SMOKE) -> dict[str, Any]:
    return workloads.build(scale, Path("model"), 1000, 2, drawn(), "drawn")


def test_the_work_is_the_same_every_time_and_another_for_another_seed() -> None:
    assert drawn() == drawn()
    assert drawn(1) != drawn()
    assert json.dumps(work()) == json.dumps(work())


def test_pairs_have_the_lengths_of_hh_and_their_responses_end() -> None:
    lengths = json.loads(workloads.LENGTHS.read_text())
    found = drawn()
    assert [[len(part) for part in pair] for pair in found] == lengths
    assert max(p + max(c, r) for p, c, r in lengths) <= workloads.LONGEST
    for prompt, *responses in found:
        assert all(r[-1] == 2 and 2 not in r[:-1] for r in responses)
        assert all(t >= workloads.FIRST_TOKEN for t in prompt)


def test_there_is_work_for_every_repetition_and_one_batch_more() -> None:
    for scale in (workloads.FULL, workloads.QUICK, workloads.SMOKE):
        made = work(scale)
        assert len(made["batches"]) == (scale.repetitions + 1) * scale.steps
        assert {len(batch) for batch in made["batches"]} == {scale.batch}
        assert len(made["prompts"]) == scale.repetitions + 1
        assert {len(batch) for batch in made["prompts"]} == {scale.rollouts}
        assert max(len(p) for batch in made["prompts"] for p in batch) <= workloads.LONGEST_PROMPT
        assert scale.rollouts % scale.group == 0


def test_units_are_those_of_the_repetitions_own_batches() -> None:
    made = work()
    batch = made["batches"][1]  # one step a repetition
    assert workloads.measured_units("sft_lora", made, 1) == sum(len(p) + len(c) for p, c, _ in batch)
    assert workloads.measured_units("reward", made, 1) == len(batch)
    assert workloads.measured_units("decode", made, 1) == 4 * 8
    assert workloads.measured_units("ppo", made, 1) == 1


def test_pairs_are_taken_from_the_real_file_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    def row(text: str) -> dict[str, Any]:
        said = lambda role, words: [{"role": role, "content": words}]  # noqa: E731
        return {
            "prompt": said("user", text),
            "chosen": said("assistant", "yes"),
            "rejected": said("assistant", "no"),
        }

    (tmp_path / "preferences").mkdir()
    with gzip.open(tmp_path / workloads.HH, "wt") as stream:
        stream.write("\n".join(json.dumps(row(text)) for text in ("a", "bb", "c" * 600)))
    contract = SimpleNamespace(
        prompt_ids=lambda messages: [7] * len(messages[-1].content), response_ids=lambda text: [len(text), 2]
    )
    monkeypatch.setenv("TUTELAGE_DATA", str(tmp_path))
    found, source = workloads.pairs_for(contract)
    assert source == "HH harmless"
    assert sorted(found) == [([7], [3, 2], [2, 2]), ([7, 7], [3, 2], [2, 2])]  # the one of 600 is too long


def test_the_prompts_are_drawn_in_the_order_given() -> None:
    from benchmarks.bench.ours_online import in_order
    from tutelage.training.online import pick_prompts

    given = [[i] for i in range(12)]
    laid = in_order(given, 5)
    assert [p for turn in range(3) for p in pick_prompts(laid, 4, 5, turn)] == given


def test_a_floor_by_hand() -> None:
    # N = 2 layers x 8 x (2*8 + 2*4 + 3*16) = 1152; a sequence of 3 + 2 tokens:
    # forward 2*1152*5 + 2*100*8*2 + 2*2*8*25 = 11520 + 3200 + 800 = 15520
    assert SHAPE.body == 1152
    assert SHAPE.forward(5, 2, [5]) == 15520
    one = {"scale": {"steps": 1}, "batches": [[([1, 1, 1], [1, 2], [1, 2])]]}
    rates = floor.Rates(peak=15520.0, decoding=1.0)
    assert floor.seconds("sft_full", one, SHAPE, rates, 0) == pytest.approx(3.0)
    assert floor.seconds("sft_lora", one, SHAPE, rates, 0) == pytest.approx(2.0)


def test_a_pairs_prompt_counts_once_and_a_groups_prompt_too() -> None:
    rates = floor.Rates(peak=1.0, decoding=1.0)
    one = {"scale": {"steps": 1}, "batches": [[([1] * 50, [1, 2], [1, 2])]]}
    assert floor.seconds("reward", one, SHAPE, rates, 0) == 2 * SHAPE.forward(54, 0, [54])
    scale = {"rollouts": 4, "group": 2, "new_tokens": 3, "epochs": 1}
    online = {"scale": scale, "prompts": [[[1] * 9] * 4]}
    assert floor.seconds("grpo", online, SHAPE, rates, 0) < floor.seconds("ppo", online, SHAPE, rates, 0)


def test_every_row_has_its_formula_and_its_sides() -> None:
    for row in rows.ROWS:
        assert row.name in floor.FORMULAS
        for module in (row.ours, row.theirs):
            assert (Path(runs.__file__).parent / f"{module}.py").is_file()
    assert rows.chosen([]) == list(rows.ROWS)
    with pytest.raises(KeyError, match="no row 'x'"):
        rows.chosen(["x"])


SIDE = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.bench.turns import Turns
turns = Turns()
print("noise of a library")
turns.ready(trained=3)
for _ in range({count}):
    turns.done()
raise ValueError("out of work")
"""


def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> Side:
    """A side that has so many repetitions in it, started as if it were a module of the benchmark."""
    program = tmp_path / "program.py"
    program.write_text(SIDE.format(root=str(runs.results.ROOT), count=count))
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **more: real([sys.executable, str(program)], **more))
    return Side(Path(sys.executable), "program", [])


def test_a_side_measures_when_told_and_nothing_else_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with side(tmp_path, monkeypatch, 5) as one:
        assert one.facts["trained"] == 3
        assert [one.measure() >= 0 for _ in range(2)] == [True, True]
        assert family(one.process.pid)[0] == one.process.pid
    assert one.process.returncode == 0
    assert 0.001 < one.peak_gb < 1


def test_a_side_that_ends_early_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with side(tmp_path, monkeypatch, 1) as one:
        one.measure()
        with pytest.raises(SideFailed, match="out of work"):
            one.measure()


def record(**changed: Any) -> dict[str, Any]:
    line = {
        "row": "sft_lora",
        "mode": "equal",
        "unit": "tokens/s",
        "trl": "1.16.0",
        "ours": [600.0, 900.0, 660.0],
        "theirs": [100.0, 110.0, 120.0],
        "ratio": 6.5,
        "low": 5.5,
        "high": 8.18,
        "trained": [7, 7],
        "peak_gb": [1.5, 3.0],
        "others": 0.01,
        "floor": 6600.0,
        "formula": floor.FORMULAS["sft_lora"],
    }
    ppo = {
        **line,
        "row": "ppo",
        "unit": "s an iteration",
        "ours": [20.0],
        "theirs": [100.0],
        "ratio": 5.0,
        "floor": 4.0,
    }
    return {
        "date": "2026-11-25T04:00:00+00:00",
        "code": "abc",
        "machine": {**runs.results.machine(), "cpu": "A | B", "cores": 2, "memory_gib": 23.4, "threads": 2},
        "scale": {**work(workloads.FULL)["scale"]},
        "data": "HH harmless",
        "rates": {"peak": 1.5e12, "decoding": 2.5e11, "first": [1.0, 1.0]},
        "seconds": 3000,
        "rows": [line, ppo, runs.of_memory({**ppo, "peak_gb": [2.0, 8.0]})],
        **changed,
    }


def test_the_page_of_a_record() -> None:
    said = page.text(record())
    assert "| SFT, LoRA, tokens/s | 110 | 660 | 6.50x | 5.50 to 8.18 | 7x | 6,600 | 10% |" in said
    assert "| PPO, LoRA, s an iteration | 100 | 20.0 | 5.00x |" in said
    assert "| 4.00 | 20% |" in said  # 4 s of floor in 20 s
    assert "| PPO, peak memory, GB | 8.00 | 2.00 | 0.25x |  | at most 0.3x |  |  |" in said
    assert "2026-11-25" in said and "2 cores" in said and "5 pairs a row" in said
    assert "not quiet" not in said.split("## How to read it")[0]
    assert "System against system" not in said
    assert floor.FORMULAS["sft_lora"] in said
    assert "not profiled yet" in said


def test_the_page_says_when_the_machine_was_not_quiet_and_when_there_is_nothing() -> None:
    loud = record()
    loud["rows"][0]["others"] = 0.4
    said = page.text(loud)
    assert "The machine was not quiet" in said and "40%" in said
    assert "| SFT, LoRA, tokens/s* |" in said
    assert page.NOTHING in page.text(None)


def test_the_page_in_the_docs_is_that_of_the_newest_run() -> None:
    if not page.PAGE.exists():
        pytest.skip("docs/benchmarks.md is not written yet")
    assert page.PAGE.read_text() == page.text(runs.newest()), "python -m benchmarks.bench --page"


def test_the_newest_full_run_goes_before_a_later_quick_one(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    assert runs.newest(path) is None
    full, quick = record(code="full"), record(code="quick", scale=work(workloads.QUICK)["scale"])
    runs.keep(quick, path)
    assert runs.newest(path)["code"] == "quick"  # type: ignore[index]
    runs.keep(full, path)
    runs.keep(quick, path)
    assert runs.newest(path)["code"] == "full"  # type: ignore[index]


def test_nothing_of_the_machines_paths_or_name_is_kept() -> None:
    import platform

    kept = json.dumps(record())
    assert str(Path.home()) not in kept and "/tmp" not in kept
    assert platform.node() not in kept


def test_claims_take_their_rows_from_the_run() -> None:
    names = {claim.name for claim in speed.CLAIMS}
    assert {"sft_full_equal", "ppo_system", "decode_equal", "ppo_memory_equal"} <= names
    found = speed.summed_up(record()["rows"][0], record())
    assert isinstance(found, Measurement)
    assert (found.value, found.low, found.high, found.n) == (6.5, 5.5, 8.18, 3)
    assert "ours 660, TRL 1.16.0 110 tokens/s" in found.note
    assert isinstance(speed.summed_up(None, record()), NotMeasured)
    assert not speed.ASKED["sft_lora", "equal"].target[0].holds(found)  # 6.5 of 7


def test_a_run_of_another_machine_is_no_claim_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "newest", record)
    assert all(isinstance(found, NotMeasured) for _, found in speed.measure())
    here = record(machine=runs.results.machine())
    monkeypatch.setattr(runs, "newest", lambda: here)
    values = {name: found for name, found in speed.measure() if isinstance(found, Measurement)}
    assert set(values) == {"sft_lora_equal", "ppo_equal", "ppo_memory_equal"}
