"""Writers of the formats that other tools read: TRL's conversational comparisons, dialogues of messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Demonstration, Message, Prompt, Response


def export_comparisons(
    path: Path,
    comparisons: Iterable[Comparison],
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
) -> int:
    """Write comparisons as JSON Lines of `prompt`, `chosen`, `rejected` (lists of messages); how many.

    The better response stands under `chosen` whichever way a comparison is told. TRL knows no ties, so a
    preference of 0.5 is left out; preference and weight of the others stand beside them.
    `prompts` and `responses` are by id. Raises `DataError` where one is missing.
    """

    def lines() -> Iterable[dict[str, Any]]:
        for told in comparisons:
            if told.preference == 0.5:
                continue
            better = told.swap() if told.preference < 0.5 else told
            missing = [i for i in (better.chosen, better.rejected) if i not in responses]
            if missing or better.prompt_id not in prompts:
                lost = missing[0] if missing else better.prompt_id
                raise DataError(f"comparison {told.id} cannot be exported: the record {lost} was not given")
            yield {
                "prompt": _chat(prompts[better.prompt_id].messages),
                "chosen": _chat([Message("assistant", responses[better.chosen].text)]),
                "rejected": _chat([Message("assistant", responses[better.rejected].text)]),
                "preference": better.preference,
                "weight": better.weight,
            }

    return _write(path, lines())


def export_demonstrations(path: Path, demonstrations: Iterable[Demonstration]) -> int:
    """Write demonstrations as JSON Lines of `messages`, the response last; how many."""
    return _write(
        path,
        (
            {
                "messages": _chat([*d.prompt.messages, Message("assistant", d.response)]),
                "source": d.prompt.source,
                "category": d.prompt.category,
                "author": d.author,
            }
            for d in demonstrations
        ),
    )


def _chat(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [m.to_dict() for m in messages]


def _write(path: Path, values: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for value in values:
            stream.write(json.dumps(value, ensure_ascii=False) + "\n")
            count += 1
    return count
