"""Is this data fit for the method? `check_data` counts, compares and says what stands out.

Nothing here stops a run: sizes are advice (demonstrations 10k to 100k, comparisons 10k to 50k, after
Ouyang et al. 2022, table 6), and only the reader knows whether a repeat was meant. Leakage is a warning,
because every number measured after it is worth less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tutelage.core.records import Demonstration, Prompt
from tutelage.data.judged import Judged
from tutelage.data.measures import best_balance, conversation_text, lengths, openings, pair_balance, shares
from tutelage.data.overlap import Overlap, overlaps_between, overlaps_within
from tutelage.data.packs import EvaluationSets
from tutelage.data.prompts import SPLITS
from tutelage.data.rows import SetAside

DEMONSTRATIONS_WANTED = (10_000, 100_000)
COMPARISONS_WANTED = (10_000, 50_000)
_ENOUGH = 50
_SHOWN = 5
_STRENGTH = {"exact": 2, "normalised": 1, "near": 0}

Level = Literal["advice", "warning"]


@dataclass(frozen=True)
class Note:
    """One thing that stands out, with up to five examples."""

    level: Level
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataReport:
    """`sections` holds the counts by part (demonstrations, comparisons, prompts, evaluation, leakage)."""

    sections: Mapping[str, Mapping[str, Any]]
    notes: tuple[Note, ...]
    set_aside: tuple[SetAside, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        aside = [{k: v for k, v in vars(row).items() if k != "row"} for row in self.set_aside]
        notes = [{"level": n.level, "text": n.text, "examples": list(n.examples)} for n in self.notes]
        return {
            "sections": {k: dict(v) for k, v in self.sections.items()},
            "notes": notes,
            "set_aside": aside,
        }

    def lines(self) -> list[str]:
        """Plain text for a terminal."""
        said: list[str] = []
        for name, values in self.sections.items():
            said.append(f"{name}:")
            if name == "leakage":
                said += _said_leakage(values)
                continue
            said += [f"  {key.replace('_', ' ')}: {_said(value)}" for key, value in values.items()]
        for note in self.notes:
            said.append(f"{note.level}: {note.text}")
            said += [f"    {example}" for example in note.examples]
        if self.set_aside:
            said.append(f"set aside: {_count(len(self.set_aside), 'row')}")
            said += [f"    {row.sentence()}" for row in self.set_aside[:_SHOWN]]
            if len(self.set_aside) > _SHOWN:
                said.append(f"    and {len(self.set_aside) - _SHOWN} more")
        return said


def check_data(
    *,
    demonstrations: Sequence[Demonstration] = (),
    judged: Sequence[Judged] = (),
    prompts: Sequence[Prompt] = (),
    evaluation: EvaluationSets | None = None,
    set_aside: Sequence[SetAside] = (),
) -> DataReport:
    """Check what a recipe's data holds; parts that are empty are left out.

    Leakage between the splits of comparisons is looked for where judgements carry a split
    (`splits.split_comparisons` gives one to those without).
    """
    sections: dict[str, Mapping[str, Any]] = {}
    notes: list[Note] = []
    if demonstrations:
        sections["demonstrations"] = _check_demonstrations(demonstrations, notes)
    if judged:
        sections["comparisons"] = _check_comparisons(judged, notes)
    if prompts:
        sections["prompts"] = _check_prompts(prompts, notes)
    if evaluation is not None:
        sections["evaluation"] = _check_evaluation(evaluation, notes)
    sections["leakage"] = _check_leakage(demonstrations, judged, prompts, evaluation, notes)
    return DataReport(sections, tuple(notes), tuple(set_aside))


def _check_demonstrations(rows: Sequence[Demonstration], notes: list[Note]) -> dict[str, Any]:
    asked = [conversation_text(d.prompt) for d in rows]
    whole = [f"{text}\n{d.response}" for text, d in zip(asked, rows, strict=True)]
    _advise_size("demonstrations", len(rows), DEMONSTRATIONS_WANTED, notes)
    return {
        "rows": len(rows),
        **_spread(asked, [d.prompt for d in rows]),
        "words_of_response": lengths(d.response for d in rows),
        "repeated": _repeats("demonstrations", whole, notes, near=False),
        "repeated_prompts": _repeats("the demonstrations' prompts", asked, notes),
    }


def _check_comparisons(rows: Sequence[Judged], notes: list[Note]) -> dict[str, Any]:
    by_id = {one.prompt.id: one.prompt for one in rows}
    asked = [conversation_text(p) for p in by_id.values()]
    pairs, best = pair_balance(rows), best_balance(rows)
    _advise_size("comparisons", pairs["pairs"], COMPARISONS_WANTED, notes)
    _note_length_bias(pairs, notes)
    _note_positions(best, notes)
    kinds = sorted({(one.judgement.kind, one.judgement.rater) for one in rows})
    return {
        "judgements": len(rows),
        "prompts": len(by_id),
        "raters": {
            "person": sum(k == "person" for k, _ in kinds),
            "model": sum(k != "person" for k, _ in kinds),
        },
        "splits": shares(one.judgement.split for one in rows),
        **_spread(asked, list(by_id.values())),
        "words_of_response": lengths(r.text for one in rows for r in one.responses),
        **pairs,
        "best": best,
        "repeated_judgements": len(rows) - len({one.judgement.id for one in rows}),
        "repeated_prompts": _repeats("the comparisons' prompts", asked, notes),
    }


def _check_prompts(rows: Sequence[Prompt], notes: list[Note]) -> dict[str, Any]:
    asked = [conversation_text(p) for p in rows]
    return {"rows": len(rows), **_spread(asked, rows), "repeated": _repeats("prompts", asked, notes)}


def _check_evaluation(sets: EvaluationSets, notes: list[Note]) -> dict[str, Any]:
    texts = sets.texts()
    repeated = {
        name: _repeats(f"evaluation set '{name}'", asked, notes) for name, asked in texts.items() if asked
    }
    for name, asked in texts.items():
        if not asked:
            notes.append(Note("advice", f"the evaluation set '{name}' is empty: nothing is measured there"))
    return {"items": {name: len(asked) for name, asked in texts.items()}, "repeated": repeated}


def _check_leakage(
    demonstrations: Sequence[Demonstration],
    comparisons: Sequence[Judged],
    prompts: Sequence[Prompt],
    evaluation: EvaluationSets | None,
    notes: list[Note],
) -> dict[str, Any]:
    splits = {
        split: list(
            {one.prompt.id: one.prompt for one in comparisons if one.judgement.split == split}.values()
        )
        for split in SPLITS
    }
    found: dict[str, Any] = {}
    for left, right in (("reward", "judge"), ("reward", "measure"), ("judge", "measure")):
        between = f"comparisons '{left}' and '{right}'"
        found |= _leaks(between, _texts(splits[left]), _texts(splits[right]), notes)
    if evaluation is not None:
        training = {
            "demonstrations": _texts_and_turns([d.prompt for d in demonstrations]),
            "comparisons": _texts_and_turns([one.prompt for one in comparisons]),
            "prompts": _texts_and_turns(prompts),
        }
        for name, asked in evaluation.texts().items():
            for part, texts in training.items():
                found |= _leaks(f"{part} and evaluation '{name}'", texts, asked, notes)
    return found


def _leaks(between: str, left: Sequence[str], right: Sequence[str], notes: list[Note]) -> dict[str, Any]:
    """Prompts of the right side that the left side holds too, each once and by its strongest overlap."""
    if not left or not right:
        return {}
    strongest: dict[int, Overlap] = {}
    for overlap in overlaps_between(left, right):
        known = strongest.setdefault(overlap.right, overlap)
        if _STRENGTH[overlap.kind] > _STRENGTH[known.kind]:
            strongest[overlap.right] = overlap
    overlaps = list(strongest.values())
    if overlaps:
        said = _count(len(overlaps), "overlapping prompt")
        notes.append(Note("warning", f"leakage: {said} between {between}", _examples(left, right, overlaps)))
    return {between: _kinds(overlaps)}


def _spread(asked: Sequence[str], prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {
        "words_of_prompt": lengths(asked),
        "categories": shares(p.category for p in prompts),
        "openings": openings([p.text for p in prompts]),
    }


def _repeats(what: str, texts: Sequence[str], notes: list[Note], near: bool = True) -> dict[str, int]:
    overlaps = overlaps_within(texts, near)
    same = sum(o.kind != "near" for o in overlaps)
    if same * 100 > len(texts):
        shown = [o for o in overlaps if o.kind != "near"]
        text = f"{same} of {len(texts)} rows repeat an earlier one among {what}"
        notes.append(Note("warning", text, _examples(texts, texts, shown)))
    return _kinds(overlaps)


def _advise_size(what: str, count: int, wanted: tuple[int, int], notes: list[Note]) -> None:
    if not wanted[0] <= count <= wanted[1]:
        text = f"{count:,} {what}: the method is known to work with {wanted[0]:,} to {wanted[1]:,}"
        notes.append(Note("advice", text))


def _note_length_bias(pairs: Mapping[str, Any], notes: list[Note]) -> None:
    share = pairs["longer_chosen"]
    if pairs["differ_in_length"] >= _ENOUGH and not 0.4 <= share <= 0.6:
        side = "longer" if share > 0.5 else "shorter"
        part = f"{max(share, 1 - share):.0%} of {pairs['differ_in_length']:,} pairs"
        text = f"length bias: the {side} response won in {part}, so a reward model can learn length instead"
        notes.append(Note("warning", text))


def _note_positions(best: Mapping[str, Any], notes: list[Note]) -> None:
    positions: Mapping[str, float] = best.get("position_of_best", {})
    if best["rankings"] >= _ENOUGH and max(positions.values()) > 0.5:
        place = max(positions, key=lambda p: positions[p])
        text = f"in {positions[place]:.0%} of {best['rankings']} rankings the best stands at position {place}"
        notes.append(Note("warning", f"{text}: shuffle the responses before people or models judge them"))


def _texts(prompts: Sequence[Prompt]) -> list[str]:
    return [conversation_text(p) for p in prompts]


def _texts_and_turns(prompts: Sequence[Prompt]) -> list[str]:
    """Conversations, and each user message of the longer ones: an evaluation prompt may be any of them."""
    found = dict.fromkeys(_texts(prompts))
    found |= dict.fromkeys(m.content for p in prompts for m in p.messages if m.role == "user")
    return list(found)


def _kinds(overlaps: Sequence[Overlap]) -> dict[str, int]:
    return {kind: sum(o.kind == kind for o in overlaps) for kind in ("exact", "normalised", "near")}


def _examples(left: Sequence[str], right: Sequence[str], overlaps: Sequence[Overlap]) -> tuple[str, ...]:
    return tuple(f"{o.kind}: {_cut(left[o.left])} | {_cut(right[o.right])}" for o in overlaps[:_SHOWN])


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= 60 else f"'{line[:57]}...'"


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items()) or "none"
    if isinstance(value, float):
        return f"{value:.0%}"
    return "none" if value is None else f"'{value}'" if isinstance(value, str) else f"{value:,}"


def _said_leakage(checked: Mapping[str, Mapping[str, int]]) -> list[str]:
    leaking = [
        f"  between {between}: {_said(kinds)}" for between, kinds in checked.items() if any(kinds.values())
    ]
    return leaking or [f"  none ({_count(len(checked), 'pair')} of parts compared)"]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
