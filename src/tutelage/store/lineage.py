"""The way back: from an artifact to its inputs, its sources, and the people and models that judged.

Reads manifests alone, and `judgements.jsonl` where a stage left one in its folder (one Judgement a
line). Given the project's `Records`, single comparisons can be followed to the judgements behind them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.core.errors import StoreError
from tutelage.core.records import Comparison, Judgement, Prompt, Ranking, Response
from tutelage.store.artifacts import FOLDER, Finished, artifact_folder, find_artifact, read_artifact

if TYPE_CHECKING:
    from tutelage.store.records import Records

JUDGEMENTS = "judgements.jsonl"


@dataclass(frozen=True)
class Node:
    """One step of the way back. `kind` is artifact, source, rater or missing; `name` is an id or a name."""

    kind: str
    name: str
    label: str
    detail: str = ""
    children: tuple[Node, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def lines(self, indent: int = 0) -> list[str]:
        """The tree for people, one line a node."""
        text = f"{'  ' * indent}{self.label}" + (f"  {self.detail}" if self.detail else "")
        return [text, *(line for child in self.children for line in child.lines(indent + 1))]

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return {
            "kind": self.kind,
            "name": self.name,
            "label": self.label,
            "detail": self.detail,
            "facts": self.facts,
            "children": [child.to_dict() for child in self.children],
        }


@dataclass(frozen=True)
class Trace:
    """What stands behind one comparison or ranking: each judgement with its prompt and responses as shown."""

    judgement: Judgement
    prompt: Prompt | None
    shown: tuple[Response | None, ...]


def lineage(project: Path, artifact_id: str) -> Node:
    """The tree from an artifact (by id, or by the start of one) back to sources and raters.

    An artifact reached on two ways is spelt out once; the second time its node has no children.
    Raises `StoreError` if there is no such artifact.
    """
    return _artifact_node(project, find_artifact(project, artifact_id), set())


def judgements_behind(records: Records, resolved: Comparison | Ranking) -> list[Trace]:
    """The judgements a comparison or ranking was resolved from. Raises `StoreError` if one is not stored."""
    traces: list[Trace] = []
    for judgement_id in resolved.judgement_ids:
        judgement = records.judgements.get(judgement_id)
        if judgement is None:
            raise StoreError(
                f"the judgement {judgement_id} behind {resolved.id} is not in the database: "
                "run the data stage again"
            )
        shown = tuple(records.responses.get(response) for response in judgement.shown)
        traces.append(Trace(judgement, records.prompts.get(judgement.prompt_id), shown))
    return traces


def _artifact_node(project: Path, finished: Finished, seen: set[str]) -> Node:
    artifact = finished.artifact
    label = f"{artifact.stage} {finished.id}"
    facts = {"seed": artifact.seed, "code": artifact.code, "finished": artifact.finished}
    if finished.id in seen:
        return Node("artifact", finished.id, label, "(as above)", facts=facts)
    seen.add(finished.id)
    children = [_input_node(project, name, value, seen) for name, value in artifact.inputs.items()]
    children += _rater_nodes(finished.folder / JUDGEMENTS)
    detail = f"seed {artifact.seed}, code {artifact.code or 'unknown'}, {artifact.finished}"
    return Node("artifact", finished.id, label, detail, tuple(children), facts)


def _input_node(project: Path, name: str, value: str, seen: set[str]) -> Node:
    if not (project / FOLDER / name).is_dir():
        return Node("source", name, name, f"sha256 {value[:12]}", facts={"sha256": value})
    try:
        finished = read_artifact(artifact_folder(project, name, value))
    except StoreError:
        finished = None
    if finished is None:
        return Node("missing", value, f"{name} {value}", "is no longer in this project")
    return _artifact_node(project, finished, seen)


def _rater_nodes(path: Path) -> list[Node]:
    """Who judged, with how many judgements each, from a file of Judgements."""
    counts: Counter[tuple[str, str, str]] = Counter()
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                said = json.loads(line)
                counts[said["kind"], said["rater"], said.get("guideline", "")] += 1
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        return [Node("missing", path.name, path.name, "cannot be read")]
    kinds = {"person": "person", "ai": "AI judge", "debate": "debate"}
    nodes: list[Node] = []
    for (kind, rater, guideline), count in sorted(counts.items()):
        detail = f"{count} judgement{'' if count == 1 else 's'}" + (
            f", guideline {guideline}" if guideline else ""
        )
        facts = {"rater_kind": kind, "judgements": count, "guideline": guideline}
        nodes.append(Node("rater", rater, f"{kinds.get(kind, kind)} '{rater}'", detail, facts=facts))
    return nodes
