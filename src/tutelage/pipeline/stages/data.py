"""data: the recipe's sources become records with splits, checked, with what could not be read set aside."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tutelage.core.records import Demonstration
from tutelage.data.checks import check_data
from tutelage.data.formats import write_set_aside
from tutelage.data.load import load_comparisons, load_demonstrations, load_evaluation, load_prompts
from tutelage.data.packs import EvaluationSets
from tutelage.data.splits import split_comparisons, split_demonstrations
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData
from tutelage.pipeline.stages.asked import require_shares


def run(context: StageContext) -> dict[str, Any]:
    settings, folder, base = context.recipe.data, context.folder, context.project
    demonstrations = load_demonstrations(settings.demonstrations, base=base)
    compared = load_comparisons(settings.comparisons, base=base)
    asked = load_prompts(settings.prompts, base=base)
    require_shares(context.recipe, asked.records)
    sets = load_evaluation(settings.evaluation, base)
    judged = split_comparisons(compared.records, settings.referee_share, settings.measure_share)
    train, validation = split_demonstrations(demonstrations.records, settings.validation_share)
    imported = ImportedData(
        train=tuple(_in(d, "train") for d in train),
        validation=tuple(_in(d, "validation") for d in validation),
        prompts={one.prompt.id: one.prompt for one in judged},
        responses={r.id: r for one in judged for r in one.responses},
        judgements=tuple({one.judgement.id: one.judgement for one in judged}.values()),
        policy_prompts=tuple({p.id: p for p in asked.records}.values()),
        evaluation=folder / "evaluation",
    )
    imported.write(folder)
    write_evaluation(sets, context)
    aside = [*demonstrations.set_aside, *compared.set_aside, *asked.set_aside]
    write_set_aside(folder / "set_aside.jsonl", aside)
    report = check_data(
        demonstrations=demonstrations.records,
        judged=judged,
        prompts=asked.records,
        evaluation=sets,
        set_aside=aside,
    )
    (folder / "data_report.json").write_text(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    for note in report.notes:
        context.say(f"{note.level}: {note.text}")
    return {
        "demonstrations": len(imported.train),
        "validation": len(imported.validation),
        "judgements": len(imported.judgements),
        "policy_prompts": len(imported.policy_prompts),
        "set_aside": len(aside),
    }


def write_evaluation(sets: EvaluationSets, context: StageContext) -> None:
    """Keep the evaluation sets as they were used, in the layout that `load_evaluation` reads."""
    target = context.folder / "evaluation"
    target.mkdir(exist_ok=True)
    for kind in ("harmful", "benign", "helpful", "honesty", "capability"):
        rows = [json.dumps(dataclasses.asdict(item), ensure_ascii=False) for item in getattr(sets, kind)]
        if rows:
            (target / f"eval_{kind}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _in(demonstration: Demonstration, split: str) -> Demonstration:
    return dataclasses.replace(demonstration, prompt=dataclasses.replace(demonstration.prompt, split=split))
