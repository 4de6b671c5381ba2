"""The data section: what was trained and measured on, how it was split, what was set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tutelage.report.numbers import count, number, percent
from tutelage.report.sources import Sources

TITLES = {
    "demonstrations": ("Demonstrations", "teach the SFT model how to answer"),
    "comparisons": (
        "Ranked answers",
        "teach the judges, and policies that need no reward model, what is better",
    ),
    "prompts": ("Prompts", "are what the policy practises on"),
    "evaluation": ("Evaluation prompts", "are never trained on"),
}
SPLITS = {"reward": "learning", "judge": "referee", "measure": "measuring"}
_SHOWN = 8


class Part(NamedTuple):
    title: str
    purpose: str
    facts: Sequence[tuple[str, str]]


class DataSection(NamedTuple):
    parts: Sequence[Part]
    leakage: str
    notes: Sequence[tuple[str, str, Sequence[str]]]
    set_aside: str
    rows_aside: Sequence[str]


def data_section(sources: Sources) -> DataSection | None:
    """None if there is no data report."""
    if sources.data is None:
        return None
    sections: Mapping[str, Any] = sources.data.get("sections") or {}
    aside: Sequence[Mapping[str, Any]] = sources.data.get("set_aside") or ()
    said = (
        f"{count(len(aside), 'row')} could not be used and {'was' if len(aside) == 1 else 'were'} set aside."
    )
    return DataSection(
        parts=[Part(*TITLES[name], _facts(sections[name])) for name in TITLES if name in sections],
        leakage=_leakage(sections.get("leakage") or {}),
        notes=[
            (str(n.get("level", "")), str(n.get("text", "")), [str(e) for e in n.get("examples") or ()])
            for n in sources.data.get("notes") or ()
        ],
        set_aside=said if aside else "Every row could be used; none was set aside.",
        rows_aside=[_row(row) for row in aside[:_SHOWN]] + _rest(len(aside) - _SHOWN),
    )


def _facts(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    makers = (
        ("rows", lambda v: f"{v:,}"),
        ("judgements", lambda v: f"{v:,}"),
        ("pairs", lambda v: f"{v:,} with a preference"),
        ("raters", _raters),
        ("splits", lambda v: ", ".join(f"{SPLITS.get(k, k)} {percent(s, 0)}" for k, s in v.items())),
        ("items", lambda v: ", ".join(f"{k} {n:,}" for k, n in v.items())),
        ("categories", lambda v: ", ".join(f"{k.replace('_', ' ')} {percent(s, 0)}" for k, s in v.items())),
        ("words_of_prompt", _words),
        ("words_of_response", _words),
        ("longer_chosen", lambda v: f"{percent(v, 0)} of pairs of unequal length"),
    )
    names = {"items": "prompts", "longer_chosen": "longer one won", "words_of_prompt": "words a prompt"}
    names["words_of_response"] = "words a response"
    return [(names.get(key, key), make(part[key])) for key, make in makers if part.get(key)]


def _raters(raters: Mapping[str, int]) -> str:
    people, models = int(raters.get("person") or 0), int(raters.get("model") or 0)
    return f"{count(people, 'person', 'people')}, {count(models, 'model')}"


def _words(spread: Mapping[str, float]) -> str:
    low, middle, high = (number(spread.get(k), 0) for k in ("p5", "p50", "p95"))
    return f"{middle} in the middle, {low} to {high} for nine in ten"


def _leakage(found: Mapping[str, Mapping[str, int]]) -> str:
    if not found:
        return "Overlap between splits was not checked."
    leaks = {between: sum(kinds.values()) for between, kinds in found.items() if sum(kinds.values())}
    if not leaks:
        return (
            f"No prompt occurs on both sides of any of the {len(found)} borders between training, "
            "measuring and evaluation that were checked (exact, normalised, and near by n-grams)."
        )
    parts = [f"{count(amount, 'prompt')} in {between}" for between, amount in leaks.items()]
    return f"Leakage was found: {'; '.join(parts)}. Numbers measured there are worth less."


def _row(row: Mapping[str, Any]) -> str:
    place = ":".join(str(row[k]) for k in ("file", "line") if row.get(k) is not None)
    reason = str(row.get("reason") or "not readable")
    return f"{place}: {reason}" if place else reason


def _rest(more: int) -> list[str]:
    return [f"and {more:,} more, in set_aside.jsonl"] if more > 0 else []
