"""How far the judges can be trusted: the reward model, the referee, and the AI judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.report.figures import Figure
from tutelage.report.numbers import NONE, count, number, percent
from tutelage.report.plots import Axis, Guide, Point, Row, Series, chart, intervals
from tutelage.report.sources import Estimate, Sources
from tutelage.report.words import interval, is_coin
from tutelage.stats.intervals import wilson

JUDGES = {"reward": "Reward model", "referee": "Referee"}
GROUPS = {
    "by_margin": (
        "Accuracy by margin",
        "The larger the gap between two scores, the surer the judge should be right.",
    ),
    "by_length": (
        "Accuracy by length",
        "A judge that merely likes long answers fails where the better one is short.",
    ),
    "by_category": (
        "Accuracy by category",
        "Few comparisons a category: look at the intervals, not the points.",
    ),
}
TONES = {"reward": "one", "referee": "two"}


@dataclass(frozen=True)
class JudgeFacts:
    """One line of the table of judges, as text."""

    name: str
    accuracy: str
    measured_on: str
    trained_on: str
    ece: str
    temperature: str
    brier: str
    length: str


def judge_facts(sources: Sources) -> list[JudgeFacts]:
    return [
        _facts(name, sources.measured[stage]) for stage, name in JUDGES.items() if stage in sources.measured
    ]


def reliability_figures(sources: Sources) -> list[Figure]:
    """A reliability diagram for each judge, before and after temperature scaling."""
    found: list[Figure] = []
    for stage, name in JUDGES.items():
        measured = sources.measured.get(stage, {})
        before, after = _bins(measured.get("reliability_before")), _bins(measured.get("reliability_after"))
        if not before and not after:
            continue
        drawn = [
            Series(label, points, tone, "points")
            for label, points, tone in (("before scaling", before, "two"), ("after scaling", after, "one"))
            if points
        ]
        temperature = measured.get("temperature")
        sure = "too sure of itself" if (temperature or 1.0) > 1 else "not sure enough of itself"
        caption = (
            "On the dashed line, a judge that says 80% is right in 80% of cases; below it, it is too sure. "
            f"Temperature {number(temperature)}: it was {sure}. "
            f"Calibration error {_points(measured.get('ece_before'))} before and "
            f"{_points(measured.get('ece_after'))} after. Bars are 95% intervals."
        )
        low = 0.5 if all(p.x >= 0.5 for p in [*before, *after]) else 0.0
        x = Axis("how sure the judge is", low=low, high=1.0, percent=True)
        y = Axis("how often it is right", low=0.0, high=1.0, percent=True)
        title = f"{name}: reliability"
        svg = chart(f"{stage}-reliability", title, caption, x, y, drawn, diagonal=True, height=300)
        found.append(Figure(title, svg, caption))
    return found


def group_figures(sources: Sources) -> list[Figure]:
    """Accuracy by margin, length and category, both judges side by side."""
    found: list[Figure] = []
    present = [stage for stage in JUDGES if stage in sources.measured]
    for key, (title, caption) in GROUPS.items():
        tables = {stage: _groups(sources.measured[stage].get(key)) for stage in present}
        labels = list(dict.fromkeys(label for table in tables.values() for label in table))
        if not labels:
            continue
        rows: list[Row] = []
        for label in labels:
            known = {stage: table[label] for stage, table in tables.items() if label in table}
            marks = [(TONES[s], e.value, e.low or 0.0, e.high or 0.0) for s, e in known.items()]
            sizes = list(dict.fromkeys(f"{e.n:,}" for e in known.values()))
            rows.append(Row(label.replace("_", " "), f"n {'/'.join(sizes)}", marks))
        axis = Axis("accuracy, 95% interval", low=0.0, high=1.0, percent=True)
        legend = [(JUDGES[stage], TONES[stage]) for stage in present]
        svg = intervals(key.replace("_", "-"), title, caption, axis, rows, [Guide(0.5, "chance")], legend)
        found.append(Figure(title, svg, caption))
    return found


@dataclass(frozen=True)
class AiJudge:
    """The AI judge's section: sentences, and a picture where its agreement was measured."""

    headline: str
    sentences: tuple[str, ...]
    figure: Figure | None


def ai_judge(sources: Sources) -> AiJudge | None:
    """Which way it went, and why. None if the judge stage left nothing."""
    said = sources.judge
    if said is None:
        return None
    agreement = Estimate.read(said.get("agreement"))
    threshold, used = float(said.get("threshold") or 0.0), bool(said.get("used"))
    numbers: Mapping[str, Any] = said.get("num_judgements") or {}
    people, ai = int(numbers.get("people") or 0), int(numbers.get("ai") or 0)
    if agreement is None:
        headline = "No AI judge was asked; people's rankings alone trained the reward model."
        return AiJudge(headline, (_resolved(said, people, ai),), None)
    share = f"{percent(agreement.value)} of {count(agreement.n, 'comparison')} ({interval(agreement)})"
    rule = f"the recipe asks for {percent(threshold, 0)}, and an interval above a coin toss"
    if used:
        headline = f"The AI judge passed, so its labels were used: it agrees with people on {share}; {rule}."
    else:
        headline = (
            f"The AI judge failed, so its labels train nothing: it agrees with people on {share}; {rule}."
        )
    sentences = [_resolved(said, people, ai)]
    if is_coin(agreement):
        sentences.insert(0, "Its agreement cannot be told from a coin toss.")
    bias, flips = said.get("position_bias"), said.get("flips")
    if isinstance(bias, (int, float)):
        side = "first" if bias >= 0 else "second"
        sentences.append(
            f"It gives the answer shown {side} {number(abs(100 * bias), 1)} points too much; each pair is "
            "shown in both orders and the two are averaged, which takes this position bias out of its labels."
        )
    if isinstance(flips, (int, float)):
        sentences.append(f"With the order its verdict changes on {percent(flips, 0)} of pairs.")
    mark = ("one", agreement.value, agreement.low or 0.0, agreement.high or 0.0)
    row = Row("AI judge", f"n {agreement.n:,}", [mark])
    guides = [Guide(0.5, "chance"), Guide(threshold, f"threshold {percent(threshold, 0)}")]
    axis = Axis("agreement with people, 95% interval", low=0.0, high=1.0, percent=True)
    caption = "To be used, the point must lie at or right of the threshold."
    title = "Agreement of the AI judge with people"
    svg = intervals("ai-judge", title, caption, axis, [row], guides)
    return AiJudge(headline, tuple(sentences), Figure(title, svg, caption))


def _resolved(said: Mapping[str, Any], people: int, ai: int) -> str:
    text = f"{count(people, 'judgement')} by people"
    text += f" and {ai:,} by the AI judge" if ai else ""
    raters, comparisons = said.get("raters"), said.get("num_comparisons")
    text += f" ({count(len(raters), 'rater')})" if raters else ""
    if isinstance(comparisons, int):
        return f"{text} were resolved into {count(comparisons, 'comparison')}."
    return f"{text} were kept."


def _facts(name: str, measured: Mapping[str, Any]) -> JudgeFacts:
    accuracy = Estimate.read(measured.get("accuracy"))
    bias: Mapping[str, Any] = measured.get("length_bias") or {}
    return JudgeFacts(
        name=name,
        accuracy=NONE if accuracy is None else f"{percent(accuracy.value)} ({interval(accuracy)})",
        measured_on=_size(measured.get("measured_on")),
        trained_on=_size(measured.get("trained_on")),
        ece=f"{_points(measured.get('ece_before'))} \u2192 {_points(measured.get('ece_after'))}",
        temperature=number(measured.get("temperature")),
        brier=number(measured.get("brier"), 3),
        length=_length(bias),
    )


def _length(bias: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if bias.get("chosen_longer_share") is not None:
        parts.append(f"people chose the longer answer in {percent(bias['chosen_longer_share'], 0)}")
    if bias.get("model_prefers_longer_share") is not None:
        parts.append(f"it does in {percent(bias['model_prefers_longer_share'], 0)}")
    if bias.get("score_length_correlation") is not None:
        parts.append(f"correlation of score and words {number(bias['score_length_correlation'])}")
    return "; ".join(parts) or NONE


def _size(values: Any) -> str:
    if not isinstance(values, Mapping):
        return NONE
    return f"{count(int(values['comparisons']), 'comparison')}, {count(int(values['prompts']), 'prompt')}"


def _points(share: Any) -> str:
    return NONE if not isinstance(share, (int, float)) else f"{number(100 * share, 1)} points"


def _groups(rows: Any) -> dict[str, Estimate]:
    read = {str(row["label"]): Estimate.read(row) for row in rows or ()}
    return {label: estimate for label, estimate in read.items() if estimate is not None and estimate.known}


def _bins(rows: Sequence[Mapping[str, Any]] | None) -> list[Point]:
    """Points of a reliability diagram; the interval is Wilson's over the bin's comparisons."""
    points: list[Point] = []
    for row in rows or ():
        n = int(row["count"])
        if n and row.get("observed") is not None:
            bounds = wilson(float(row["observed"]) * n, n)
            points.append(Point(float(row["predicted"]), bounds.value, bounds.low, bounds.high, 4.0))
    return points
