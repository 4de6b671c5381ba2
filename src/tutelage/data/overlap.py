"""Texts that are the same or nearly so, within a set and between sets.

Three kinds: `exact`; `normalised` (the same words, whatever the case, punctuation and spacing); `near`, by
word n-grams: the shorter text's 5-grams lie to 80% in the longer one (text taken over into a longer text),
or the 3-grams of both agree to a Jaccard similarity of 0.7 (one word changed at an edge, words added).
The search is exact and fast by prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo et al. 2007):
if A shares a part t of its n-grams with B, one of A's |A| - ceil(t |A|) + 1 rarest must be in B.
Left out: paraphrases, and languages written without spaces (there only `exact` and `normalised` work).
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

CONTAINMENT = 0.8
JACCARD = 0.7
_LONG, _SHORT = 5, 3
_MIN_LONG_GRAMS = 4
_ROUNDING = 1e-9
_NOT_WORD = re.compile(r"[^\w]+|_")

Grams = frozenset[int]


class Overlap(NamedTuple):
    """`left` and `right` are places in the sequences given; `score` is 1 unless the kind is `near`."""

    left: int
    right: int
    kind: Literal["exact", "normalised", "near"]
    score: float


def normalised(text: str) -> str:
    """Words in lower case with one space between; punctuation goes, an apostrophe leaves no gap.

    Text without a single word (emoji, say) stays as it is.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("\u2019", "")
    return _NOT_WORD.sub(" ", plain).strip() or text


def overlaps_within(texts: Sequence[str], near: bool = True) -> list[Overlap]:
    """Overlaps inside one set, `left` before `right`: each repeat once, with the first text it repeats."""
    plain = [normalised(text) for text in texts]
    found: list[Overlap] = []
    first_exact: dict[str, int] = {}
    first: dict[str, int] = {}
    for n, text in enumerate(texts):
        if text in first_exact:
            found.append(Overlap(first_exact[text], n, "exact", 1.0))
        elif plain[n] in first:
            found.append(Overlap(first[plain[n]], n, "normalised", 1.0))
        first_exact.setdefault(text, n)
        first.setdefault(plain[n], n)
    if near:
        places = list(first.values())
        pairs = _near([plain[n] for n in places], None)
        found += [Overlap(*sorted((places[a], places[b])), "near", score) for a, b, score in pairs]  # type: ignore[misc]
    return sorted(found)


def overlaps_between(left: Sequence[str], right: Sequence[str], near: bool = True) -> list[Overlap]:
    """Overlaps between two sets; a text that stands several times in `right` counts where it stands first."""
    right_exact = {text: n for n, text in reversed(list(enumerate(right)))}
    right_plain = {normalised(text): n for n, text in reversed(list(enumerate(right)))}
    left_plain: dict[str, int] = {}
    found: list[Overlap] = []
    for n, text in enumerate(left):
        plain = normalised(text)
        left_plain.setdefault(plain, n)
        if text in right_exact:
            found.append(Overlap(n, right_exact[text], "exact", 1.0))
        elif plain in right_plain:
            found.append(Overlap(n, right_plain[plain], "normalised", 1.0))
    if near:
        ours = [(plain, n) for plain, n in left_plain.items() if plain not in right_plain]
        texts = [plain for plain, _ in ours] + list(right_plain)
        places = [n for _, n in ours] + list(right_plain.values())
        for a, b, score in _near(texts, len(ours)):
            found.append(Overlap(places[min(a, b)], places[max(a, b)], "near", score))
    return sorted(found)


def _near(texts: Sequence[str], boundary: int | None) -> list[tuple[int, int, float]]:
    """Near pairs of distinct normalised texts; with a boundary only pairs with one text on either side."""
    words = [text.split() for text in texts]
    found: dict[tuple[int, int], float] = {}
    long = [_grams(w, _LONG) for w in words]
    long = [grams if len(grams) >= _MIN_LONG_GRAMS else frozenset[int]() for grams in long]
    short = [_grams(w, _SHORT) for w in words]
    for a, b, score in _joined(long, boundary, CONTAINMENT, _containment):
        found[a, b] = score
    for a, b, score in _joined(short, boundary, JACCARD, _jaccard):
        found[a, b] = max(score, found.get((a, b), 0.0))
    return [(a, b, score) for (a, b), score in found.items()]


def _grams(words: Sequence[str], size: int) -> Grams:
    return frozenset(hash(tuple(words[n : n + size])) for n in range(len(words) - size + 1))


def _containment(a: Grams, b: Grams) -> float:
    return len(a & b) / min(len(a), len(b))


def _jaccard(a: Grams, b: Grams) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _joined(
    sets: Sequence[Grams], boundary: int | None, threshold: float, measure: Callable[[Grams, Grams], float]
) -> Iterator[tuple[int, int, float]]:
    """All pairs `a < b` that reach the threshold, for measures of at most |A & B| / (smaller size).

    The smaller set of a pair asks with its rarest grams, the larger one answers with all of its grams.
    """
    order = sorted((n for n, grams in enumerate(sets) if grams), key=lambda n: len(sets[n]))
    postings: dict[int, list[int]] = {}
    for rank, n in enumerate(order):
        for gram in sets[n]:
            postings.setdefault(gram, []).append(rank)
    for rank, n in enumerate(order):
        grams = sorted(sets[n], key=lambda g: (len(postings[g]), g))
        asked = grams[: len(grams) - math.ceil(threshold * len(grams) - _ROUNDING) + 1]
        candidates = {r for g in asked for r in postings[g][bisect_right(postings[g], rank) :]}
        for other in candidates:
            m = order[other]
            if boundary is not None and (n < boundary) == (m < boundary):
                continue
            score = measure(sets[n], sets[m])
            if score >= threshold - _ROUNDING:
                yield min(n, m), max(n, m), score
