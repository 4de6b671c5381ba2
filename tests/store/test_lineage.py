"""Lineage: from a report back to the files and raters it rests on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tutelage.core.errors import StoreError
from tutelage.core.records import Artifact, Comparison, Judgement, Prompt, Response
from tutelage.store.artifacts import Finished, artifact_folder, seal
from tutelage.store.database import Database
from tutelage.store.lineage import JUDGEMENTS, judgements_behind, lineage
from tutelage.store.records import Records


def make(
    project: Path, stage: str, inputs: dict[str, str], judgements: list[Judgement] | None = None
) -> Finished:
    artifact = Artifact(stage, inputs, {}, 17, "0.1.0", code="v1")
    folder = artifact_folder(project, stage, artifact.id)
    folder.mkdir(parents=True)
    if judgements is not None:
        (folder / JUDGEMENTS).write_text("".join(json.dumps(j.to_dict()) + "\n" for j in judgements))
    return seal(folder, artifact)


def judged(rater: str, prompt: str, kind: str = "person", guideline: str = "") -> Judgement:
    return Judgement(prompt, ("a", "b"), (("a",), ("b",)), rater, kind=kind, guideline=guideline)  # type: ignore[arg-type]


@pytest.fixture
def chain(tmp_path: Path) -> dict[str, Finished]:
    said = [judged("ann", "p1", guideline="v2"), judged("ann", "p2", guideline="v2"), judged("bob", "p1")]
    data = make(tmp_path, "data", {"pack:starter/rankings.jsonl": "9" * 64}, said)
    judge = make(tmp_path, "judge", {"data": data.id}, [judged("smol", "p1", kind="ai")])
    reward = make(tmp_path, "reward", {"data": data.id, "judge": judge.id})
    return {"data": data, "judge": judge, "reward": reward}


def test_the_way_back_ends_at_sources_and_raters(tmp_path: Path, chain: dict[str, Finished]) -> None:
    tree = lineage(tmp_path, chain["reward"].id)
    found = [(node.kind, node.name) for node in tree.walk()]
    data, judge = chain["data"].id, chain["judge"].id
    assert found == [
        ("artifact", chain["reward"].id),
        ("artifact", data),
        ("source", "pack:starter/rankings.jsonl"),
        ("rater", "ann"),
        ("rater", "bob"),
        ("artifact", judge),
        ("artifact", data),  # spelt out once: no children this time
        ("rater", "smol"),
    ]
    ann = next(node for node in tree.walk() if node.name == "ann")
    assert ann.facts == {"rater_kind": "person", "judgements": 2, "guideline": "v2"}
    assert "  person 'ann'  2 judgements, guideline v2" in "\n".join(tree.lines())
    assert json.loads(json.dumps(tree.to_dict()))["children"][0]["name"] == data


def test_an_input_that_was_deleted_is_said(tmp_path: Path, chain: dict[str, Finished]) -> None:
    shutil.rmtree(chain["judge"].folder)
    lines = "\n".join(lineage(tmp_path, chain["reward"].id[:8]).lines())
    assert f"judge {chain['judge'].id}  is no longer in this project" in lines


def test_a_damaged_judgement_file_is_said_not_hidden(tmp_path: Path, chain: dict[str, Finished]) -> None:
    (chain["judge"].folder / JUDGEMENTS).write_text("{")
    assert any("cannot be read" in line for line in lineage(tmp_path, chain["judge"].id).lines())


def test_no_such_artifact(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no finished artifact 'abc'"):
        lineage(tmp_path, "abc")


def test_a_comparison_leads_back_to_who_said_it_and_what_they_saw(tmp_path: Path) -> None:
    prompt = Prompt.of("which?")
    good, bad = Response(prompt.id, "good", "authors"), Response(prompt.id, "bad", "authors")
    said = Judgement(prompt.id, (bad.id, good.id), ((good.id,), (bad.id,)), "ann", reason="it is right")
    resolved = Comparison(prompt.id, good.id, bad.id, (said.id,))
    with Database.open("sqlite:///t.db", tmp_path) as db:
        records = Records(db)
        records.prompts.add([prompt])
        records.responses.add([good, bad])
        with pytest.raises(StoreError, match=f"the judgement {said.id} behind {resolved.id}"):
            judgements_behind(records, resolved)
        records.judgements.add([said])
        (trace,) = judgements_behind(records, resolved)
    assert trace.judgement.reason == "it is right" and trace.prompt == prompt
    assert trace.shown == (bad, good)  # in the order in which the rater saw them
