"""The solver: each model answers every prompt once, and all scorers share the answers.

All models draw from the same seed, so differences between them are not those of the draw. A model's
answers are written whole or not at all, and are not made again where they lie there for the same items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tutelage.core.records import Message
from tutelage.data.tokens import TokenContract
from tutelage.evals.task import EvaluationItem, EvaluationRow, read_answers, write_answers
from tutelage.sampling.sampler import Progress, Sampler, SamplingSettings


def generate_answers(
    stage: str,
    sampler: Sampler,
    contract: TokenContract,
    items: Sequence[EvaluationItem],
    settings: SamplingSettings,
    on_progress: Progress | None = None,
) -> list[EvaluationRow]:
    """One answer to each item, in order."""
    prompts = [contract.prompt_ids([Message("user", item.prompt)]) for item in items]
    samples = sampler.sample(prompts, settings, num_samples=1, on_progress=on_progress)
    return [
        EvaluationRow(
            stage=stage,
            set=item.set,
            item=item.id,
            prompt=item.prompt,
            answer=contract.text(sample.ids),
            tokens=len(sample.ids),
            finished=sample.finished,
            category=item.category,
            sounds_harmful=item.sounds_harmful,
        )
        for item, (sample,) in zip(items, samples, strict=True)
    ]


def answers_of(
    path: Path, items: Sequence[EvaluationItem], make: Callable[[], list[EvaluationRow]]
) -> list[EvaluationRow]:
    """The answers that lie in `path`, if they are to these very items; otherwise made, and left there."""
    if path.exists():
        rows = read_answers(path)
        if [(r.set, r.item, r.prompt) for r in rows] == [(i.set, i.id, i.prompt) for i in items]:
            return rows
    rows = make()
    write_answers(path, rows)
    return rows
