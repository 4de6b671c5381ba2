"""What can be counted about a data set: lengths, categories, openings, label balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tutelage.core.records import Prompt
from tutelage.data.judged import Judged

PERCENTILES = (5, 25, 50, 75, 95)


def conversation_text(prompt: Prompt) -> str:
    """All turns but the system message: what makes two prompts the same to a model."""
    return "\n".join(m.content for m in prompt.messages if m.role != "system")


def lengths(texts: Iterable[str]) -> dict[str, int]:
    """Smallest, largest and percentiles (nearest rank) of the number of words; empty for no texts."""
    counts = sorted(len(text.split()) for text in texts)
    if not counts:
        return {}
    rank = {f"p{p}": counts[max(0, -(-p * len(counts) // 100) - 1)] for p in PERCENTILES}
    return {"min": counts[0], **rank, "max": counts[-1]}


def shares(labels: Iterable[str]) -> dict[str, float]:
    """Share of each label, largest first; rows without a label count as 'none'."""
    counted = Counter(label or "none" for label in labels)
    total = sum(counted.values())
    return {label: count / total for label, count in sorted(counted.items(), key=lambda kv: (-kv[1], kv[0]))}


def openings(texts: Sequence[str], words: int = 3) -> dict[str, Any]:
    """The opening (first three words, lower case) that most texts share, and how many openings there are."""
    counted = Counter(" ".join(text.lower().split()[:words]) for text in texts)
    if not counted:
        return {}
    opening, count = min(counted.items(), key=lambda kv: (-kv[1], kv[0]))
    return {"different": len(counted), "most_common": opening, "share": count / len(texts)}


def pair_balance(judged: Sequence[Judged]) -> dict[str, Any]:
    """Over all pairs that the judgements imply: how many, how many tied, and in how many the longer one won.

    `longer_chosen` is a share of `differ_in_length`, the strict pairs whose responses differ in words:
    0.5 means that length says nothing.
    """
    pairs = ties = decided = longer = 0
    for _, responses, judgement in judged:
        words = {r.id: len(r.text.split()) for r in responses}
        for n, group in enumerate(judgement.ranking):
            ties += len(group) * (len(group) - 1) // 2
            for better in group:
                for worse in (r for later in judgement.ranking[n + 1 :] for r in later):
                    pairs += 1
                    decided += words[better] != words[worse]
                    longer += words[better] > words[worse]
    return {
        "pairs": pairs,
        "ties": ties,
        "differ_in_length": decided,
        "longer_chosen": longer / decided if decided else None,
    }


def best_balance(judged: Sequence[Judged]) -> dict[str, Any]:
    """Over rankings of three or more with one best: where it stood, how often it was longest or shortest.

    Pairs are left out, because their formats do not say in which order they were shown.
    """
    positions: Counter[int] = Counter()
    longest = shortest = 0
    for _, responses, judgement in judged:
        if len(responses) < 3 or len(judgement.ranking[0]) != 1:
            continue
        words = {r.id: len(r.text.split()) for r in responses}
        best = judgement.ranking[0][0]
        positions[judgement.shown.index(best) + 1] += 1
        others = [count for who, count in words.items() if who != best]
        longest += words[best] > max(others)
        shortest += words[best] < min(others)
    total = sum(positions.values())
    if not total:
        return {"rankings": 0}
    return {
        "rankings": total,
        "position_of_best": {str(place): positions[place] / total for place in sorted(positions)},
        "best_is_longest": longest / total,
        "best_is_shortest": shortest / total,
    }
