"""What the rating tools' exports in `exports/` say, told by hand: by file, each rater's ranking and reason.

The files are written in the shapes of the tools' own documentation: Argilla's records of 2.x and 1.x, each as
its client and as the hub's library write them, and Label Studio's JSON export of its LLM Ranker template.
"""

from __future__ import annotations

from pathlib import Path

EXPORTS = Path(__file__).parent / "exports"
ANN, BEN = "0d0a8ec3-0b1a-4c9c-8f5e-5b7f2f3a1c11", "7c2f1a90-51d4-4b7c-9a55-2f0c4d1e8b22"
Said = tuple[str, list[list[str]], str]
"""Rater, tie groups of the tool's names for responses, best first, and the reason."""

SAYS: dict[str, list[Said]] = {
    "argilla": [
        (ANN, [["response-1"], ["response-2"], ["response-3"]], "Only the first explains it."),
        (BEN, [["response-1"], ["response-3"], ["response-2"]], ""),
        (BEN, [["response-3", "response-1"], ["response-2"]], ""),
    ],
    "argilla-flat": [
        (ANN, [["response-1"], ["response-2"], ["response-3"]], "Only the first explains it."),
        (BEN, [["response-1"], ["response-3"], ["response-2"]], ""),
    ],
    "argilla-v1": [
        (ANN, [["response-1", "response-2"], ["response-4"], ["response-3"]], "The first two are both fine."),
        (BEN, [["response-2"], ["response-1"]], ""),
    ],
    "argilla-v1-columns": [
        (ANN, [["response-1", "response-2"], ["response-3"]], ""),
        (BEN, [["response-2"], ["response-1"], ["response-3"]], ""),
        (ANN, [["response-1"], ["response-3"], ["response-2"]], ""),
    ],
    "label-studio": [
        ("label-studio-1", [["llm_2"], ["llm_1"], ["llm_3"]], "The second gives a reason."),
        ("kim@example.org", [["llm_1"], ["llm_2"], ["llm_3"]], ""),
        ("label-studio-1", [["llm_2"], ["llm_1"], ["llm_3"]], ""),
        ("label-studio-2", [["b", "d"], ["a"]], ""),
    ],
}
ASIDE = {
    "argilla": [],
    "argilla-flat": ["its rater discarded it"],
    "argilla-v1": ["it is a draft: its rater has not submitted it"],
    "argilla-v1-columns": [],
    "label-studio": ["its rater skipped the task"],
}
"""Why the other answers in the files are no judgements."""
