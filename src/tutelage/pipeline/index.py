"""What finished artifacts say, kept in the project's database too: their manifests and their records.

For these the files are the truth: what is here can be made again from them at any time. What people said on the
pages is in the database alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from tutelage.core.errors import StoreError, TutelageError
from tutelage.core.records import Demonstration, Judgement, Prompt, Record, Response
from tutelage.store.artifacts import Finished
from tutelage.store.records import Records, Repository

R = TypeVar("R", bound=Record)

PROMPTS = ("prompts.jsonl", "new_prompts.jsonl", "policy_prompts.jsonl")
RESPONSES = ("responses.jsonl", "new_responses.jsonl")
DEMONSTRATIONS = ("demonstrations.jsonl",)
JUDGEMENTS = ("judgements.jsonl",)
BATCH = 1000


def index_artifact(records: Records, finished: Finished) -> bool:
    """Keep an artifact's records and manifest, the manifest last; False if it was there already."""
    known = records.artifacts.get(finished.id)
    if known is not None and known.finished == finished.artifact.finished:
        return False
    folder = finished.folder
    _keep(records.prompts, Prompt, folder, PROMPTS)
    _keep(records.responses, Response, folder, RESPONSES)
    _keep(records.demonstrations, Demonstration, folder, DEMONSTRATIONS)
    _keep(records.judgements, Judgement, folder, JUDGEMENTS)
    records.artifacts.add([finished.artifact])
    return True


def _keep(repository: Repository[R], kind: type[R], folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = folder / name
        if path.exists():
            rows = _read(path, kind)
            while chunk := list(islice(rows, BATCH)):
                repository.add(chunk)


def _read(path: Path, kind: type[R]) -> Iterator[R]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield kind.from_dict(json.loads(line))
            except (ValueError, KeyError, TypeError, TutelageError) as problem:
                raise StoreError(
                    f"{path}:{number} is no {kind.__name__.lower()} ({problem}): run its stage again"
                ) from None
