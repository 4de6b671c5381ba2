"""Content hashes: the same thing has the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

ID_LENGTH = 16
"""Hexadecimal digits in an id (64 bits): a clash among a billion records has odds of 3 in 100."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def content_id(kind: str, value: Any) -> str:
    """The id of a JSON-like `value` of the given kind (`"prompt"`, `"judgement"`, ...)."""
    return hashlib.sha256(f"{kind}\n{canonical_json(value)}".encode()).hexdigest()[:ID_LENGTH]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal, read in pieces of one MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
