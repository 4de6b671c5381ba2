"""From a project's finished artifacts to `summary.json` and `index.html`.

The page is one file: style and figures are inside it, it holds no script and reaches for nothing. What
models wrote is text and is escaped. The same artifacts give the same bytes.
Left out on purpose: any measuring. Every number here was measured by a stage and is only told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tutelage.core.files import replace_text
from tutelage.core.methods import METHODS, of_kind
from tutelage.core.recipe import Recipe
from tutelage.core.settings import ReportSettings
from tutelage.evals.human_results import Results
from tutelage.report import numbers
from tutelage.report.calibration import ai_judge, group_figures, judge_facts, reliability_figures
from tutelage.report.curves import reward_figures, sft_figures
from tutelage.report.datasets import data_section
from tutelage.report.direct_curves import direct_figures
from tutelage.report.examples import side_by_side, verdict_words
from tutelage.report.figures import Figure
from tutelage.report.frontier import frontier_figures
from tutelage.report.glossary import MEASURES, terms
from tutelage.report.humans import human_rounds, human_summary
from tutelage.report.limits import limits
from tutelage.report.policy_curves import more_online_figures, online_figures
from tutelage.report.provenance import artifact_rows, total_seconds, trails, tree
from tutelage.report.sources import MODEL_NAMES, Sources, read_sources
from tutelage.report.svg import swatch
from tutelage.report.table import SYMBOLS, measure_rows, small_tables
from tutelage.report.theme import css_variables
from tutelage.report.words import answer, interval
from tutelage.store.artifacts import write_atomically

TEMPLATES = Path(__file__).parent / "templates"


def build_report(
    project: Path,
    folders: Mapping[str, Path],
    settings: ReportSettings,
    recipe: Recipe,
    target: Path,
    *,
    people: Sequence[Results] = (),
) -> Path:
    """Write `target/summary.json` and `target/index.html`, and return the page.

    `folders` maps stage names to the folders of their finished artifacts; what is missing is left out of
    the page with a sentence. `people` are closed rounds of blind evaluation, the first one first.
    Raises `StoreError` if something that is there cannot be read.
    """
    sources = read_sources(folders)
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / "summary.json", {**summary(sources, recipe), **human_summary(people)})
    page = target / "index.html"
    replace_text(page, render(project, sources, settings, recipe, people))
    return page


def summary(sources: Sources, recipe: Recipe) -> dict[str, Any]:
    """The numbers for programs: models at the top, then paired changes, project and artifact ids."""
    found = sources.evaluation
    measures = {} if found is None else found.measures
    models = dict.fromkeys(["base", "sft", *recipe.policies, *measures])
    paired: dict[str, dict[str, Any]] = {}
    for change in () if found is None else found.changes.values():
        paired.setdefault(f"{change.model}_vs_{change.against}", {})[change.measure] = {
            "difference": change.difference,
            "low": change.low,
            "high": change.high,
            "p": change.p,
            "n": change.n,
            "test": change.test,
            "verdict": change.word,
        }
    return {
        **{model: {k: e.plain() for k, e in measures.get(model, {}).items()} for model in models},
        "paired": paired,
        "classifier": {} if found is None else dict(found.classifier),
        "breakdown": {} if found is None else _plain(found.breakdown),
        "other": {} if found is None else _plain(found.other),
        "project": {
            "name": recipe.name,
            "seed": recipe.seed,
            "model": recipe.model.base,
            "finished": sources.finished,
        },
        "artifacts": dict(sources.ids),
    }


def _plain(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _plain(value) for key, value in values.items()}
    return values.plain()


def render(
    project: Path,
    sources: Sources,
    settings: ReportSettings,
    recipe: Recipe,
    people: Sequence[Results] = (),
) -> str:
    """The page as HTML."""
    found = sources.evaluation
    models = [] if found is None else list(found.measures)
    online = [method.label for method in of_kind("online", recipe.policies)]
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=settings.title,
            recipe=recipe,
            theme=Markup(css_variables()),
            sources=sources,
            answer=answer(sources),
            rows=measure_rows(found),
            models=models,
            small_tables=small_tables(found, models),
            limits=limits(sources, recipe),
            curves=curves(sources, recipe),
            more={
                METHODS[name].label: figures
                for name in recipe.policies
                if METHODS[name].kind == "online" and (figures := more_online_figures(name, sources, recipe))
            },
            frontier=frontier_figures(sources, recipe),
            online=numbers.listed(online),
            several=len(online) > 1,
            judges=judge_facts(sources),
            reliability=reliability_figures(sources),
            accuracy_by=group_figures(sources),
            ai_judge=ai_judge(sources),
            people=human_rounds(people),
            groups=side_by_side(found, settings.side_by_side),
            data=data_section(sources),
            trails=trails(sources, recipe),
            artifacts=artifact_rows(sources, recipe),
            tree=tree(project, sources),
            seconds=numbers.duration(total_seconds(sources.artifacts)),
            resolved=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
            measures=MEASURES,
            terms=terms(recipe.policies),
        )
    )


def curves(sources: Sources, recipe: Recipe) -> dict[str, list[Figure]]:
    """The learning curves of each stage that trains, by its title."""
    online = of_kind("online", recipe.policies)
    found = {"Supervised fine-tuning": sft_figures(sources)}
    if online:
        found["Reward model"] = reward_figures(sources, "reward", "Reward model")
    found["Referee"] = reward_figures(sources, "referee", "Referee")
    for method in (METHODS[name] for name in recipe.policies):
        title = method.long_name[0].upper() + method.long_name[1:]
        if method in online:
            found[title] = online_figures(method.name, sources, recipe)
        else:
            found[title] = direct_figures(method.name, sources)
    return found


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=numbers.count,
        percent=numbers.percent,
        points=numbers.points,
        p_value=numbers.p_value,
        interval=interval,
        verdict_words=verdict_words,
        svg=Markup,
        swatch=lambda tone: Markup(swatch(tone)),
    )
    environment.globals.update(SYMBOLS=SYMBOLS, MODEL_NAMES=MODEL_NAMES)
    return environment
