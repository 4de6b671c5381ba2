"""Small stages that stand in for the real ones: they write down what they did, and one can be killed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from tutelage.pipeline.graph import Stage, StageContext

STEPS = 12
STEP_SECONDS = "TUTELAGE_TEST_STEP_SECONDS"
RECIPE = """# A small recipe for tests
#
# Purpose   nothing is trained
# Hardware  any
# Time      no time

name: small
data:
  demonstrations: [{source: rows.jsonl}]
  evaluation: evaluation
sft: {epochs: 1}
"""


def make_project(folder: Path) -> Path:
    """A project with a recipe, a data file and an evaluation set."""
    (folder / "evaluation").mkdir(parents=True)
    (folder / "tutelage.yaml").write_text(RECIPE)
    (folder / "rows.jsonl").write_text('{"prompt": "2+2?", "completion": "4"}\n' * 3)
    (folder / "evaluation" / "eval_helpful.jsonl").write_text('{"id": "h1", "prompt": "how?"}\n')
    return folder


def log(context: StageContext, what: str) -> None:
    with (context.project / "log.txt").open("a") as stream:
        stream.write(f"{context.stage} {what}\n")


def read_log(project: Path) -> list[str]:
    path = project / "log.txt"
    return path.read_text().splitlines() if path.exists() else []


def quick(context: StageContext) -> dict[str, Any]:
    """Writes what it was handed."""
    log(context, "ran")
    context.recorder.log(0, value=1.5)
    context.recorder.progress(1, 1, 10.0, note="there")
    texts = {name: (folder / "output.txt").read_text() for name, folder in context.inputs.items()}
    (context.folder / "output.txt").write_text(json.dumps({"seed": context.seed, "inputs": texts}))
    return {"value": 1.5, "nothing": float("nan")}


def slow(context: StageContext) -> dict[str, Any]:
    """Twelve steps with a checkpoint after each; the result depends on every step in order."""
    checkpoint = context.folder / "checkpoint.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "value": context.seed}
    context.recorder.rewind(state["step"])
    while state["step"] < STEPS:
        state = {"step": state["step"] + 1, "value": (state["value"] * 31 + state["step"]) % 1_000_003}
        fresh = checkpoint.with_suffix(".tmp")
        fresh.write_text(json.dumps(state))
        fresh.replace(checkpoint)
        log(context, f"step {state['step']}")
        context.recorder.log(state["step"], value=state["value"])
        context.recorder.progress(state["step"], STEPS, 10.0)
        time.sleep(float(os.environ.get(STEP_SECONDS, "0")))
    (context.folder / "output.txt").write_text(str(state["value"]))
    checkpoint.unlink()
    return {"value": state["value"]}


FAKES = (
    Stage("data", (), ("data",), "reads", reads_sources=True, function=quick),
    Stage("sft", ("data",), ("model", "tokens", "sft"), "takes its time", function=slow),
    Stage("reward", ("data",), ("model", "reward"), "beside it", function=quick),
    Stage("ppo", ("sft", "reward"), ("model", "ppo"), "rests on both", function=quick),
)


def with_function(name: str, function: Any) -> tuple[Stage, ...]:
    """The fakes with another function for one stage."""
    return tuple(
        Stage(
            s.name, s.needs, s.groups, s.summary, s.reads_sources, function if s.name == name else s.function
        )
        for s in FAKES
    )
