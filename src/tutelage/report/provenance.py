"""The way back: which artifacts, judges, people and sources stand behind each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.core.errors import StoreError
from tutelage.core.methods import METHODS, of_kind
from tutelage.core.recipe import Recipe
from tutelage.core.records import Artifact
from tutelage.report.glossary import MEASURES
from tutelage.report.numbers import NONE, duration, listed, significant
from tutelage.report.sources import MODEL_NAMES, Sources
from tutelage.store.lineage import Node, lineage

MADE = {
    "data": "Sources read, checked and split",
    "sft": "Demonstrations learnt",
    "sample": "Answers drawn for ranking",
    "judge": "Judgements resolved into comparisons",
    "referee": "Other comparisons learnt, for evaluation only",
    "evaluate": "All models asked and judged",
}
TRAINED = {
    "online": "Policy trained against the reward model",
    "direct": "Policy trained on comparisons, without a reward model",
}
JUDGED_BY = {
    "harmful_compliance": "refusal classifier",
    "over_refusal": "refusal classifier",
    "win_rate_vs_base": "referee",
    "honesty": "text patterns of each question",
    "capability_accuracy": "likelihood of the right option",
}


class Link(NamedTuple):
    """A name for people, and the artifact it leads to (empty where there is none on the page)."""

    text: str
    artifact: str


class Trail(NamedTuple):
    """Where one measure comes from."""

    key: str
    name: str
    prompts: Link
    answers: Sequence[Link]
    judge: Link
    measured: Link


class ArtifactRow(NamedTuple):
    """One artifact as it is listed."""

    stage: str
    id: str
    made: str
    seconds: str
    seed: int
    code: str
    finished: str
    inputs: Sequence[Link]
    metrics: Sequence[tuple[str, str]]
    num_files: int


def trails(sources: Sources, recipe: Recipe) -> list[Trail]:
    """For each measure, its prompts, models, judge and the evaluation that brought them together."""
    if "evaluate" not in sources.ids:
        return []
    base = "embedded model" if recipe.model.base == "embedded" else recipe.model.base
    answers = [
        Link(f"Base: {base}", ""),
        *(_link(sources, s, MODEL_NAMES[s]) for s in sources.ids if s in MODEL_NAMES),
    ]
    found: list[Trail] = []
    for measure in MEASURES:
        judged = JUDGED_BY[measure.key]
        judge = _link(sources, "referee", "referee") if judged == "referee" else Link(judged, "")
        found.append(
            Trail(
                measure.key,
                measure.name,
                _link(sources, "data", f"{recipe.data.evaluation}, in data"),
                answers,
                judge,
                _link(sources, "evaluate", "evaluate"),
            )
        )
    return found


def made(stage: str, recipe: Recipe) -> str:
    """What a stage did, in a few words."""
    if stage == "reward":
        return f"Comparisons learnt, for {listed([m.label for m in of_kind('online', recipe.policies)])}"
    return TRAINED[METHODS[stage].kind] if stage in METHODS else MADE[stage]


def artifact_rows(sources: Sources, recipe: Recipe) -> list[ArtifactRow]:
    """All artifacts in the order of the stages."""
    known = {artifact_id: stage for stage, artifact_id in sources.ids.items()}
    return [
        ArtifactRow(
            stage=stage,
            id=sources.ids[stage],
            made=made(stage, recipe),
            seconds=duration(one.seconds),
            seed=one.seed,
            code=one.code or NONE,
            finished=one.finished,
            inputs=[_input(name, value, known) for name, value in one.inputs.items()],
            metrics=_flat(one.metrics),
            num_files=len(one.files),
        )
        for stage, one in sources.artifacts.items()
    ]


def total_seconds(artifacts: Mapping[str, Artifact]) -> float:
    return sum(artifact.seconds for artifact in artifacts.values())


def tree(project: Path, sources: Sources) -> Node | None:
    """The whole tree behind the evaluation; None where its artifact does not lie in the project."""
    if "evaluate" not in sources.ids:
        return None
    try:
        return lineage(project, sources.ids["evaluate"])
    except StoreError:
        return None


def _link(sources: Sources, stage: str, text: str) -> Link:
    return Link(text, sources.ids.get(stage, ""))


def _input(name: str, value: str, known: Mapping[str, str]) -> Link:
    return Link(name, value) if value in known else Link(f"{name} (sha256 {value[:12]})", "")


def _flat(metrics: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested metrics as lines `accuracy value  0.61`."""
    lines: list[tuple[str, str]] = []
    for key, value in metrics.items():
        name = f"{before} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            lines += _flat(value, name)
        elif isinstance(value, bool) or value is None or isinstance(value, str):
            lines.append((name, NONE if value is None else str(value)))
        elif isinstance(value, int):
            lines.append((name, f"{value:,}"))
        elif isinstance(value, float):
            lines.append((name, significant(value, 4)))
    return lines
