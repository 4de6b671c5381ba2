"""The evaluation of several models, from prompts to `summary.json`.

It reads top to bottom: items, answers (made once a model, kept), scores, summary. In its folder it leaves
`answers/STAGE.jsonl` (with verdicts), `choices/STAGE.jsonl` (options scored) and `summary.json`. Killed,
it goes on: a model whose answers lie there is not asked again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tutelage.core.errors import DataError
from tutelage.core.files import replace_text
from tutelage.core.recorder import Recorder
from tutelage.core.settings import EvaluateSettings
from tutelage.data.packs import EvaluationSets
from tutelage.data.tokens import TokenContract
from tutelage.evals.capability import Choice, LogprobFunction, choose_options, read_choices, write_choices
from tutelage.evals.generate import answers_of, generate_answers
from tutelage.evals.harmless import benign_task, harmful_task
from tutelage.evals.helpful import helpful_items, score_against
from tutelage.evals.honest import honesty_task
from tutelage.evals.summary import Scored, summarise
from tutelage.evals.task import EvaluationItem, EvaluationRow, Task, write_answers
from tutelage.judges.judge import Judge
from tutelage.sampling.sampler import Sampler, SamplingSettings

BASE = "base"
Model = tuple[Sampler, LogprobFunction]
"""How a model answers, and how likely it finds an answer."""
T = TypeVar("T")


def run_evaluation(
    models: Mapping[str, Model],
    sets: EvaluationSets,
    referee: Judge,
    contract: TokenContract,
    settings: EvaluateSettings,
    *,
    folder: Path,
    recorder: Recorder,
    seed: int,
    classifier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate `models` (stage name -> model, in the order of the stages, 'base' first); return the summary.

    `models[name]` is only asked for when that model has work left, so a mapping may load them one by one.
    `classifier` is the refusal classifier's agreement with people, to stand beside what it measured.
    Raises `DataError` if there is no base or nothing to ask.
    """
    if next(iter(models), None) != BASE:
        raise DataError("an evaluation needs the base model, as the first: win rates are against its answers")
    sets = limited(sets, settings.limit)
    tasks = tasks_of(sets)
    items = [item for task in tasks for item in task.items] + list(helpful_items(sets.helpful))
    if not items and not sets.capability:
        raise DataError("the evaluation sets are empty: give data.evaluation a pack or eval_*.jsonl files")

    answers: dict[str, list[EvaluationRow]] = {}
    choices: dict[str, list[Choice]] = {}
    for place, stage in enumerate(models):
        progress = _Progress(recorder, stage, place * len(items), len(models) * len(items))
        answers[stage] = _answers(models, stage, items, contract, settings, folder, seed, progress)
        choices[stage] = _choices(models, stage, sets, contract, folder)

    scored: dict[str, Scored] = {}
    for stage in models:
        rows = _score(answers[stage], answers[BASE], tasks, referee, is_base=stage == BASE)
        write_answers(folder / "answers" / f"{stage}.jsonl", rows)
        scored[stage] = Scored(rows, choices[stage])

    summary = summarise(scored, tasks, base=BASE, num_resamples=settings.bootstrap, classifier=classifier)
    replace_text(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False))
    return summary


def tasks_of(sets: EvaluationSets) -> list[Task]:
    """The tasks that score one answer at a time."""
    return [harmful_task(sets.harmful), benign_task(sets.benign), honesty_task(sets.honesty)]


def limited(sets: EvaluationSets, limit: int | None) -> EvaluationSets:
    """At most `limit` items of each set, spread evenly over it (sets are ordered by category)."""
    if limit is None:
        return sets
    return EvaluationSets(
        **{kind: _spread(items, limit) for kind, items in sets.sets().items()}, name=sets.name
    )


def _spread(items: Sequence[T], limit: int) -> tuple[T, ...]:
    if len(items) <= limit:
        return tuple(items)
    return tuple(items[i * len(items) // limit] for i in range(limit))


def _answers(
    models: Mapping[str, Model],
    stage: str,
    items: Sequence[EvaluationItem],
    contract: TokenContract,
    settings: EvaluateSettings,
    folder: Path,
    seed: int,
    progress: _Progress,
) -> list[EvaluationRow]:
    sampling = SamplingSettings(contract.max_response, settings.temperature, seed=seed)
    return answers_of(
        folder / "answers" / f"{stage}.jsonl",
        items,
        lambda: generate_answers(stage, models[stage][0], contract, items, sampling, progress),
    )


def _choices(
    models: Mapping[str, Model], stage: str, sets: EvaluationSets, contract: TokenContract, folder: Path
) -> list[Choice]:
    path = folder / "choices" / f"{stage}.jsonl"
    if path.exists():
        kept = read_choices(path)
        if [choice.item for choice in kept] == [item.id for item in sets.capability]:
            return kept
    made = choose_options(sets.capability, models[stage][1], contract) if sets.capability else []
    write_choices(path, made)
    return made


def _score(
    rows: Sequence[EvaluationRow],
    base: Sequence[EvaluationRow],
    tasks: Sequence[Task],
    referee: Judge,
    *,
    is_base: bool,
) -> list[EvaluationRow]:
    """All rows of a model with their verdicts; the base is not compared with itself."""
    scored = [row for task in tasks for row in task.score(rows)]
    helpful = [row for row in rows if row.set == "helpful"]
    if is_base:
        return [*scored, *helpful]
    return [*scored, *score_against(helpful, [row for row in base if row.set == "helpful"], referee)]


class _Progress:
    """Tells the recorder how many answers there are, over all models."""

    def __init__(self, recorder: Recorder, stage: str, before: int, total: int) -> None:
        self.recorder, self.stage, self.done, self.total = recorder, stage, before, total

    def __call__(self, tokens: int, finished: int) -> None:
        self.done += finished
        self.recorder.progress(self.done, self.total, tokens, note=f"{self.stage} answers")
