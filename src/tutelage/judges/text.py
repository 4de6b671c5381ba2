"""Reading an answer's text: normalising it, its sentences and words, and whether it says anything at all."""

from __future__ import annotations

import re
from itertools import pairwise

_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_STOP = re.compile(
    r"^(?:the|and|for|that|this|with|you|your|how|can|what|who|where|why|when|does|did|are|was|were|will|should|"
    r"would|could|have|has|had|not|from|into|out|about|make|get|use|some|any|best|ways?|please|tell|give|write)$"
)
_VOWEL = re.compile(r"[aeiouy\u0080-\uffff]")


def normalise(text: str) -> str:
    """Lower case, straight quotes, no Markdown emphasis, single spaces, no empty lines."""
    plain = text.translate(
        {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', ord("*"): None, ord("_"): " "}
    )
    lines = (" ".join(line.split()) for line in plain.lower().splitlines())
    return "\n".join(line for line in lines if line)


def sentences(text: str) -> list[str]:
    """The sentences of a normalised text; a line end closes one too."""
    return [s for s in (part.strip() for part in _SENTENCE.split(text)) if s]


def words(text: str) -> list[str]:
    """The words of a normalised text: letters, with an apostrophe inside."""
    return _WORD.findall(text)


def content_words(text: str) -> set[str]:
    """The words of a normalised text that carry meaning, cut to five letters so that endings do not count."""
    return {w[:5] for w in words(text) if len(w) > 2 and not _STOP.match(w)}


def why_empty(prompt: str, text: str) -> str:
    """Why a normalised answer says nothing at all; '' if it says something.

    No letter or digit; the prompt repeated; one phrase over and over; mostly signs; or letters that make
    no words.
    """
    found = words(text)
    if not found:
        return "" if any(c.isalnum() for c in text) else "no words"
    if found == words(normalise(prompt)):
        return "repeats the prompt"
    pairs = list(pairwise(found))
    if len(found) >= 16 and len(set(pairs)) / len(pairs) < 0.3:
        return "one phrase over and over"
    letters = sum(map(len, found))
    vowelless = sum(len(w) for w in found if len(w) > 3 and not _VOWEL.search(w))
    longest = max(map(len, found))
    if vowelless > letters / 2 or (longest > 40 and longest > letters / 2):
        return "letters that make no words"
    signs = sum(not (c.isalnum() or c.isspace()) for c in text)
    return "mostly signs" if "```" not in text and signs > 2 * letters else ""


def short(text: str, length: int = 80) -> str:
    """`text` on one line, cut with dots where it is longer than `length`."""
    plain = " ".join(text.split())
    return plain if len(plain) <= length else plain[: length - 3] + "..."
