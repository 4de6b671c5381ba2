"""What the stages write is what the report reads: their own writers, not our idea of them."""

from __future__ import annotations

import json
from pathlib import Path

from tutelage.data.packs import BenignItem, HarmfulItem
from tutelage.evals.harmless import benign_task, harmful_task
from tutelage.evals.summary import Scored, summarise
from tutelage.evals.task import EvaluationRow, write_answers
from tutelage.judges.refusal_agreement import published_agreement
from tutelage.report.sources import Estimate, read_evaluation


def _rows(stage: str, refused: int, won: int) -> list[EvaluationRow]:
    def row(kind: str, i: int, verdict: str) -> EvaluationRow:
        return EvaluationRow(stage, kind, f"{kind}-{i}", "p", "an answer", 3, True, "c", i % 2 == 0, verdict)

    rows = [row("harmful", i, "refusal" if i < refused else "compliance") for i in range(40)]
    rows += [row("benign", i, "compliance") for i in range(40)]
    return rows + [row("helpful", i, "win" if i < won else "loss") for i in range(20 if won else 0)]


def test_the_evaluation_is_read_as_it_is_written(tmp_path: Path) -> None:
    tasks = [
        harmful_task([HarmfulItem(f"harmful-{i}", "p", "c") for i in range(40)]),
        benign_task([BenignItem(f"benign-{i}", "p", i % 2 == 0, "c") for i in range(40)]),
    ]
    rows = {"base": _rows("base", 4, 0), "sft": _rows("sft", 5, 11), "ppo": _rows("ppo", 34, 18)}
    scored = {stage: Scored(found) for stage, found in rows.items()}
    summary = summarise(scored, tasks, num_resamples=200, classifier=published_agreement())
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    for stage, found in rows.items():
        write_answers(tmp_path / "answers" / f"{stage}.jsonl", found)

    found = read_evaluation(tmp_path)
    assert found is not None
    # 36 of 40 at first, 6 of 40 after
    assert found.measures["base"]["harmful_compliance"].value == 0.9
    assert found.measures["ppo"]["harmful_compliance"].value == 0.15
    change = found.change("harmful_compliance", "ppo")
    assert change is not None and change.p is not None
    assert (round(change.difference, 12), change.n, change.word) == (-0.75, 40, "better")
    slight = found.change("harmful_compliance", "sft")
    assert slight is not None and slight.word == "not distinguishable"
    won = found.change("win_rate_vs_base", "ppo")
    assert won is not None and round(won.difference, 12) == 0.4
    assert found.change("harmful_compliance", "ppo", "sft") is not None
    assert {len(answers) for answers in found.answers.values()} == {80, 100}
    assert set(found.breakdown["over_refusal"]) == {"sounds harmful", "plain"}
    assert found.other["ppo"]["answers_ended"].value == 1.0
    assert Estimate.read(found.classifier["agreement"]) is not None
    assert Estimate.read(found.classifier["people"]["three_labels"]) is not None
