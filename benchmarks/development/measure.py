"""The development prompts, and what a model's answers to them come to: rates by kind, with intervals.

Left out on purpose: a single number to rank variants by. Refusing what is harmful and answering the rest pull
against each other, and which matters more is for whoever chooses to say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.records import Verdict
from tutelage.data.packs import HonestyItem
from tutelage.data.tokens import TokenContract
from tutelage.evals.generate import generate_answers
from tutelage.evals.harmless import score_refusal
from tutelage.evals.task import EvaluationItem, EvaluationRow
from tutelage.judges.honesty import HONEST, judge_honesty
from tutelage.judges.refusal import COMPLIANCE, REFUSAL
from tutelage.judges.text import short
from tutelage.sampling.sampler import Sampler, SamplingSettings
from tutelage.stats.intervals import Interval, wilson

PROMPTS = Path(__file__).parent / "starter.jsonl"
KINDS = ("harmful", "sounds_harmful", "plain", "honest")
_ANSWER_SHOWN = 160


@dataclass(frozen=True)
class Answer:
    """One answer with its verdicts; `honest` is None where the question is not about honesty."""

    item: EvaluationItem
    text: str
    tokens: int
    refusal: str
    honest: bool | None


@dataclass(frozen=True)
class Rates:
    """What the answers to one kind of prompt come to. What is neither refusal nor compliance is empty."""

    kind: str
    draws: int
    refusal: Interval
    compliance: Interval
    honesty: Interval | None
    mean_tokens: float


def development_items(path: Path = PROMPTS) -> list[EvaluationItem]:
    """The prompts in order, each with its kind as its set."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        EvaluationItem(row["kind"], f"{row['kind']}-{place:03d}", row["prompt"], row["category"])
        for place, row in enumerate(rows, start=1)
    ]


def draw(
    sampler: Sampler,
    contract: TokenContract,
    items: Sequence[EvaluationItem],
    settings: SamplingSettings,
) -> list[Answer]:
    """One answer to each item, in order, with its verdicts."""
    rows = generate_answers("development", sampler, contract, items, settings)
    return [judge(item, row) for item, row in zip(items, rows, strict=True)]


def judge(item: EvaluationItem, row: EvaluationRow) -> Answer:
    """An answer with the refusal classifier's verdict, and the honesty judge's where it applies."""
    honest = _honesty(item, row.answer).label == HONEST if item.set == "honest" else None
    return Answer(item, row.answer, row.tokens, score_refusal(item, row.answer).label, honest)


def _honesty(item: EvaluationItem, answer: str) -> Verdict:
    """By the judge's general patterns: the development set has none for single questions."""
    asked = HonestyItem(item.id, item.prompt, item.category, accept=(), reject=(), note="")  # type: ignore[arg-type]
    return judge_honesty(asked, answer)


def rates(draws: Sequence[Sequence[Answer]]) -> list[Rates]:
    """Rates by kind, each averaged over the draws.

    An interval is Wilson's for as many prompts as there are, not answers: the draws of one prompt resemble
    each other, so more of them make a rate steadier but do not stand for more prompts.
    """
    found: list[Rates] = []
    for kind in KINDS:
        answers = [answer for one in draws for answer in one if answer.item.set == kind]
        if not answers:
            continue
        prompts = len({answer.item.id for answer in answers})
        honest = [answer.honest for answer in answers if answer.honest is not None]
        found.append(
            Rates(
                kind,
                len(draws),
                _rate([answer.refusal == REFUSAL for answer in answers], prompts),
                _rate([answer.refusal == COMPLIANCE for answer in answers], prompts),
                _rate(honest, prompts) if honest else None,
                sum(answer.tokens for answer in answers) / len(answers),
            )
        )
    return found


def _rate(hits: Sequence[bool], prompts: int) -> Interval:
    return wilson(sum(hits) * prompts / len(hits), prompts)


def table(found: Sequence[Rates]) -> str:
    """The rates as plain text, with 95% intervals."""
    lines = [f"{'kind':<15}{'n':>4}  {'refusal':<19}{'compliance':<19}{'honesty':<19}{'tokens':>6}"]
    for one in found:
        shown = "".join(f"{_shown(i):<19}" for i in (one.refusal, one.compliance, one.honesty))
        lines.append(f"{one.kind:<15}{one.refusal.n:>4}  {shown}{one.mean_tokens:>6.1f}")
    return "\n".join(lines)


def _shown(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.3f} [{interval.low:.2f}, {interval.high:.2f}]"


def examples(answers: Sequence[Answer], count: int) -> str:
    """`count` answers of each kind, spread evenly over its prompts (they are ordered by category)."""
    lines: list[str] = []
    for kind in KINDS:
        those = [answer for answer in answers if answer.item.set == kind]
        shown = min(count, len(those))
        lines.append(f"\n{kind}")
        for one in (those[place * len(those) // shown] for place in range(shown)):
            said = (
                one.refusal if one.honest is None else f"{one.refusal}, {'' if one.honest else 'not '}honest"
            )
            lines.append(f"  [{said}] {one.item.prompt}\n      {short(one.text, _ANSWER_SHOWN)}")
    return "\n".join(lines)
