"""How stages hand records to each other: JSON Lines files in artifact folders, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tutelage.core.errors import StoreError
from tutelage.core.records import Comparison, Demonstration, Judgement, Prompt, Ranking, Record, Response

R = TypeVar("R", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """One record a line, each with its id."""
    lines = [json.dumps({"id": r.id, **r.to_dict()}, ensure_ascii=False) for r in records]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_records(path: Path, kind: type[R]) -> list[R]:
    """Read back what `write_records` wrote. Raises `StoreError` if the file is missing or damaged."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [kind.from_dict(json.loads(line)) for line in lines if line]
    except (OSError, json.JSONDecodeError) as problem:
        raise StoreError(
            f"{path} is missing or damaged ({problem}): run its stage again with `tutelage run --force`"
        ) from None


@dataclass(frozen=True)
class ImportedData:
    """What the data stage left: everything a project trains on, with its splits."""

    train: tuple[Demonstration, ...]
    validation: tuple[Demonstration, ...]
    prompts: dict[str, Prompt]
    responses: dict[str, Response]
    judgements: tuple[Judgement, ...]
    policy_prompts: tuple[Prompt, ...]
    evaluation: Path

    FILES = ("demonstrations", "prompts", "responses", "judgements", "policy_prompts")

    def write(self, folder: Path) -> None:
        """Leave all of it in an artifact's folder."""
        tables: dict[str, Sequence[Record]] = {
            "demonstrations": [*self.train, *self.validation],
            "prompts": list(self.prompts.values()),
            "responses": list(self.responses.values()),
            "judgements": self.judgements,
            "policy_prompts": self.policy_prompts,
        }
        for name in self.FILES:
            write_records(folder / f"{name}.jsonl", tables[name])

    @classmethod
    def read(cls, folder: Path) -> ImportedData:
        """Read back a data artifact."""
        demonstrations = read_records(folder / "demonstrations.jsonl", Demonstration)
        return cls(
            train=tuple(d for d in demonstrations if d.prompt.split != "validation"),
            validation=tuple(d for d in demonstrations if d.prompt.split == "validation"),
            prompts={p.id: p for p in read_records(folder / "prompts.jsonl", Prompt)},
            responses={r.id: r for r in read_records(folder / "responses.jsonl", Response)},
            judgements=tuple(read_records(folder / "judgements.jsonl", Judgement)),
            policy_prompts=tuple(read_records(folder / "policy_prompts.jsonl", Prompt)),
            evaluation=folder / "evaluation",
        )


@dataclass(frozen=True)
class Resolved:
    """What the judge stage left: rankings and comparisons, and any prompts and responses new to them."""

    rankings: tuple[Ranking, ...]
    comparisons: tuple[Comparison, ...]
    prompts: dict[str, Prompt]
    responses: dict[str, Response]

    def write(self, folder: Path) -> None:
        """Leave all of it in an artifact's folder."""
        write_records(folder / "rankings.jsonl", self.rankings)
        write_records(folder / "comparisons.jsonl", self.comparisons)
        write_records(folder / "new_prompts.jsonl", self.prompts.values())
        write_records(folder / "new_responses.jsonl", self.responses.values())

    @classmethod
    def read(cls, folder: Path) -> Resolved:
        """Read back a judge artifact."""
        return cls(
            rankings=tuple(read_records(folder / "rankings.jsonl", Ranking)),
            comparisons=tuple(read_records(folder / "comparisons.jsonl", Comparison)),
            prompts={p.id: p for p in read_records(folder / "new_prompts.jsonl", Prompt)},
            responses={r.id: r for r in read_records(folder / "new_responses.jsonl", Response)},
        )

    def of_split(self, split: str) -> tuple[list[Ranking], list[Comparison]]:
        """Rankings and comparisons of one split: 'reward', 'judge' or 'measure'."""
        return [r for r in self.rankings if r.split == split], [
            c for c in self.comparisons if c.split == split
        ]
