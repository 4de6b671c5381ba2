"""report: everything that the stages left becomes one page and `report/summary.json`."""

from __future__ import annotations

import shutil
from typing import Any

from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.humans import closed_results
from tutelage.report.build import build_report


def run(context: StageContext) -> dict[str, Any]:
    target = context.project / "report"
    people = closed_results(context.recipe, context.project, context.rounds)
    page = build_report(
        context.project, context.inputs, context.recipe.report, context.recipe, target, people=people
    )
    # The artifact keeps its own copy, so that a later run's page does not replace the evidence.
    shutil.copytree(target, context.folder / "report", dirs_exist_ok=True)
    context.say(f"the report is {page}")
    return {"page": str(page.relative_to(context.project))}
