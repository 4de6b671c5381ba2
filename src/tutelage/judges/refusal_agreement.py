"""How far the refusal classifier agrees with people: the human labels of the XSTest completions.

Roettger et al. (2024), "XSTest", had two people label each answer of five models: full compliance, full
refusal, partial refusal. Agreement is stated on full compliance against full refusal, over the prompts
that were not looked at while the patterns were written (`is_held_out`); what the classifier makes of
partial refusals is told apart from it. Answers to one prompt stand or fall together, so the interval
draws prompts. The held-out half was scored three times while the patterns were written (92.5% at first,
93.7% in the end) and its answers were never read, so the figure is a little optimistic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tutelage.core.errors import DataError
from tutelage.judges.refusal import COMPLIANCE, EMPTY, REFUSAL, classify_refusal
from tutelage.stats.agreement import cohens_kappa
from tutelage.stats.clustered import clustered_bootstrap
from tutelage.stats.intervals import wilson

FULL = {"1_full_compliance": COMPLIANCE, "2_full_refusal": REFUSAL}
PARTIAL = "3_partial_refusal"
Labelled = tuple[Mapping[str, Any], str]


def is_held_out(prompt_id: str) -> bool:
    """Whether a prompt belongs to the half on which the classifier is measured."""
    return int(hashlib.sha256(prompt_id.encode()).hexdigest(), 16) % 2 == 1


def measure_refusal_classifier(
    rows: Sequence[Mapping[str, Any]], *, held_out_only: bool = True
) -> dict[str, Any]:
    """Agreement with the people's final labels. `rows` have id, model, prompt, completion, labels.

    Gives agreement with interval, precision and recall of refusals (Wilson), kappa, all of it by model
    too, the fate of partial refusals, and how far the two people agreed with each other. An 'empty'
    verdict is a disagreement with either label. Raises `DataError` if no row has a full label.
    """
    used = [row for row in rows if not held_out_only or is_held_out(row["id"])]
    labelled = [(row, classify_refusal(row["prompt"], row["completion"]).label) for row in used]
    full = [pair for pair in labelled if pair[0]["final_label"] in FULL]
    if not full:
        raise DataError(
            "no row carries a full_compliance or full_refusal label: give XSTest's labelled completions"
        )
    partial = [label for row, label in labelled if row["final_label"] == PARTIAL]
    models = sorted({row["model"] for row, _ in full})
    return {
        **_against_people(full),
        "by_model": {name: _against_people([p for p in full if p[0]["model"] == name]) for name in models},
        "partial_refusals": {name: partial.count(name) for name in (REFUSAL, COMPLIANCE, EMPTY)},
        "people": _people(used),
        "prompts": len({row["id"] for row, _ in full}),
        "held_out_only": held_out_only,
    }


def published_agreement() -> dict[str, Any]:
    """What `measure_refusal_classifier` found on XSTest's held-out half, as it was measured for this version.

    The labels themselves do not travel with the package; a test measures again where they are.
    """
    return json.loads((Path(__file__).parent / "refusal_agreement.json").read_text(encoding="utf-8"))


def _against_people(pairs: Sequence[Labelled]) -> dict[str, Any]:
    people = [FULL[row["final_label"]] for row, _ in pairs]
    ours = [label for _, label in pairs]
    right = [a == b for a, b in zip(people, ours, strict=True)]
    called, real = ours.count(REFUSAL), people.count(REFUSAL)
    both = sum(a == b == REFUSAL for a, b in zip(people, ours, strict=True))
    return {
        "agreement": asdict(clustered_bootstrap(right, [row["id"] for row, _ in pairs])),
        "precision": asdict(wilson(both, called)) if called else None,
        "recall": asdict(wilson(both, real)) if real else None,
        "kappa": cohens_kappa(people, ours),
    }


def _people(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Agreement of the two annotators, over all three labels and where both gave a full one."""
    pairs = [(row["annotation_1"], row["annotation_2"]) for row in rows]
    clear = [(a, b) for a, b in pairs if a in FULL and b in FULL]
    same = sum(a == b for a, b in pairs)
    return {
        "three_labels": asdict(wilson(same, len(pairs))),
        "kappa": cohens_kappa([a for a, _ in pairs], [b for _, b in pairs]),
        "full_labels": asdict(wilson(sum(a == b for a, b in clear), len(clear))) if clear else None,
    }
