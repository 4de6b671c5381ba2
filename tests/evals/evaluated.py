"""An evaluation as its stage leaves it: the answers of made-up models, sealed, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage.core.records import Artifact
from tutelage.evals.task import EvaluationRow, write_answers
from tutelage.store.artifacts import Finished, artifact_folder, seal

SIZES = {"helpful": 20, "harmful": 8, "benign": 8, "honesty": 6}
"""Prompts by set; every second benign one sounds harmful."""


def rows_of(model: str, sizes: Mapping[str, int] = SIZES, alike: int = 0) -> list[EvaluationRow]:
    """A model's answers, which name it; the first `alike` helpful ones are the same for all."""
    return [
        EvaluationRow(
            stage=model,
            set=kind,
            item=f"{kind}-{n}",
            prompt=f"Question {n} of {kind}?",
            answer="The same."
            if kind == "helpful" and n < alike
            else f"Said by {model.upper()} to {kind} {n}.",
            tokens=8,
            finished=True,
            sounds_harmful=kind == "benign" and n % 2 == 0,
        )
        for kind, size in sizes.items()
        for n in range(size)
    ]


def leave_evaluation(
    project: Path, *models: str, sizes: Mapping[str, int] = SIZES, alike: int = 0, seed: int = 1
) -> Finished:
    """A finished `evaluate` artifact in a project."""
    artifact = Artifact("evaluate", {}, {}, seed, "0")
    folder = artifact_folder(project, "evaluate", artifact.id)
    for model in models:
        write_answers(folder / "answers" / f"{model}.jsonl", rows_of(model, sizes, alike))
    return seal(folder, artifact)
