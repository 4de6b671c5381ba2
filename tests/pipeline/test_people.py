"""The way back: what people rank on the pages is what the next run learns from, and nothing else is run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.fakes import make_project, quick
from tests.pipeline.test_whole_road import TINY
from tutelage.core.errors import StoreError
from tutelage.core.records import Judgement, Prompt, Response
from tutelage.core.settings import DataSettings
from tutelage.data.splits import split_of
from tutelage.pipeline.exporting import open_store
from tutelage.pipeline.graph import Stage, StageContext
from tutelage.pipeline.handover import ImportedData, Resolved, write_records
from tutelage.pipeline.importing import import_into
from tutelage.pipeline.people import People, open_people
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent
from tutelage.pipeline.run import Outcome
from tutelage.preferences.accounts import Rater
from tutelage.preferences.desk import Answer

ASKED = [Prompt.of(f"Question {n}?") for n in range(6)]
SHARES = DataSettings()
STATED = next(p for p in ASKED if split_of(p, SHARES.referee_share, SHARES.measure_share) != "judge")
"""A prompt that a data file puts into the split 'judge', where its opening alone would not."""
PASSWORD = "a long enough password"


def reads(context: StageContext) -> dict[str, Any]:
    prompt = replace(STATED, split="judge")
    responses = [Response(prompt.id, text, "authors") for text in "ab"]
    a, b = (r.id for r in responses)
    said = Judgement(prompt.id, (a, b), ((b,), (a,)), "from a file", split="judge")
    data = ImportedData(
        (), (), {prompt.id: prompt}, {r.id: r for r in responses}, (said,), (), context.folder
    )
    data.write(context.folder)
    return {}


def samples(context: StageContext) -> dict[str, Any]:
    policy = context.input_ids["sft"]
    write_records(context.folder / "prompts.jsonl", ASKED)
    answers = [Response(p.id, f"{p.text} {k}", policy) for p in ASKED for k in range(4)]
    write_records(context.folder / "responses.jsonl", answers)
    return {}


STAGES = (
    Stage("data", (), ("data",), "reads", reads_sources=True, function=reads),
    Stage("sft", ("data",), (), "learns", function=lambda context: {}),
    Stage("sample", ("data", "sft"), (), "answers", function=samples),
    Stage("judge", ("data", "sample"), ("judge",), "resolves", reads_people=True),
    Stage("reward", ("judge",), (), "learns from it", function=lambda context: {}),
)


def with_function(name: str, function: Callable[[StageContext], dict[str, Any]]) -> tuple[Stage, ...]:
    return tuple(replace(s, function=function) if s.name == name else s for s in STAGES)


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Iterator[Project]:
    folder = make_project(tmp_path / "project")
    with (folder / "tutelage.yaml").open("a") as stream:
        stream.write(f"database: {database_url}\njudge: {{ai: false}}\n")
        stream.write("people: {calibration: 1, gold_rate: 0, overlap: 2}\n")
    yield Project(folder, stages=STAGES)


def run(project: Project, **options: Any) -> Outcome:
    return project.run(reporter=Silent(), **options)


def join(people: People, name: str) -> Rater:
    return people.accounts.accept(people.accounts.invite("rater"), name, PASSWORD)


def rank_all(people: People, rater: Rater) -> list[str]:
    """Ranks all that waits as it is shown; ids of the judgements on work."""
    said: list[str] = []
    while (task := people.desk.next(rater)) is not None:
        ranking = tuple((r.id,) for r in task.responses)
        done = people.desk.submit(task.id, rater, Answer(ranking, seconds=1.0))
        said += [done.judgement or ""] if task.kind == "work" else []
    return said


def resolved(outcome: Outcome) -> Resolved:
    return Resolved.read(outcome.artifacts["judge"].folder)


def behind(outcome: Outcome) -> set[str]:
    return {j for c in resolved(outcome).comparisons for j in c.judgement_ids}


def test_what_people_rank_is_learnt_from_by_the_next_run(project: Project) -> None:
    first = run(project)
    assert len(behind(first)) == 1 and project.status().next is None
    with open_people(project) as people:
        ada = join(people, "Ada")
        said = rank_all(people, ada)
    assert len(said) == len(ASKED)
    status = {s.stage: (s.state, s.reason) for s in project.status().stages}
    assert status["judge"] == ("stale", "changed: people is another")
    assert status["reward"][0] == "stale"
    assert {status[name][0] for name in ("data", "sft", "sample")} == {"done"}

    second = run(project)
    assert second.ran == ("judge", "reward")
    assert behind(second) == behind(first) | set(said)
    assert run(project).ran == () and project.status().next is None
    tree = project.lineage(second.artifacts["reward"].id)
    (node,) = [node for node in tree.walk() if node.name == "Ada"]
    assert node.facts["judgements"] == len(ASKED)

    with open_people(project) as people:
        people.desk.undo(ada)
    third = run(project)
    assert third.ran == ("judge", "reward")
    assert behind(third) == behind(first) | set(said[:-1])


def test_a_prompt_stays_in_one_split(project: Project) -> None:
    run(project)
    with open_people(project) as people:
        rank_all(people, join(people, "Ada"))
    found = resolved(run(project))
    splits = {c.prompt_id: c.split for c in found.comparisons}
    assert splits == {
        p.id: "judge" if p.id == STATED.id else split_of(p, SHARES.referee_share, SHARES.measure_share)
        for p in ASKED
    }
    assert len(set(splits.values())) > 1
    ranked = [c for c in found.comparisons if c.prompt_id != STATED.id]
    assert len(ranked) == 5 * 6 and all(c.chosen in found.responses for c in ranked)


def test_a_run_counts_what_was_said_when_it_began(project: Project) -> None:
    run(project)
    with open_people(project) as people:
        ada, bob = join(people, "Ada"), join(people, "Bob")
        before = rank_all(people, ada)

    def meanwhile(context: StageContext) -> dict[str, Any]:
        with open_people(project) as people:
            rank_all(people, bob)
            people.desk.undo(ada)
        return samples(context)

    disturbed = Project(project.path, stages=with_function("sample", meanwhile))
    assert behind(run(disturbed, force=["sample"])) >= set(before)
    assert len(behind(run(disturbed))) == 1 + len(before) + len(ASKED) - 1


def test_what_is_imported_counts_too_in_the_split_that_it_states(project: Project) -> None:
    first = run(project)
    row = {
        "prompt": "Imported?",
        "responses": ["yes", "no"],
        "ranking": [[1], [0]],
        "rater": "Cy",
        "split": "measure",
    }
    (project.path / "more.jsonl").write_text(json.dumps(row) + "\n")
    with open_store(project, "importing") as database:
        import_into(database, "more.jsonl", project.path)
    second = run(project)
    assert second.ran == ("judge", "reward")
    (new,) = [
        c for c in resolved(second).comparisons if set(c.judgement_ids) <= behind(second) - behind(first)
    ]
    assert new.split == "measure" and resolved(second).responses[new.chosen].text == "no"
    with open_store(project, "importing") as database:
        import_into(database, "more.jsonl", project.path)
    assert run(project).ran == ()


@pytest.mark.slow  # 20 s: the real stages up to the reward model, twice, on the tiny model
def test_from_a_rater_to_the_weights(tiny_folder: Path, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    settings = (*TINY, f"model.base={tiny_folder}", "judge.ai=false", "sample.num_prompts=12")
    first = project.run(*settings, to="reward", reporter=Silent())
    with open_people(project) as people:
        said = rank_all(people, join(people, "Ada"))
    second = project.run(*settings, to="reward", reporter=Silent())
    assert second.ran == ("judge", "reward")
    learnt = {j for r in resolved(second).rankings if r.split == "reward" for j in r.judgement_ids} & set(
        said
    )
    assert len(said) == 12 and learnt
    folders = [outcome.artifacts["reward"].folder / "model" for outcome in (first, second)]
    weights = [[p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))] for folder in folders]
    assert weights[0] and weights[0] != weights[1]
    assert "Ada" in [node.name for node in project.lineage(second.artifacts["reward"].id).walk()]


def test_looking_makes_nothing_and_tells_what_it_cannot_read(tmp_path: Path) -> None:
    project = Project(
        make_project(tmp_path / "project"), stages=(Stage("data", (), ("data",), "r", function=quick),)
    )
    project.status()
    assert not (project.path / "tutelage.db").exists()
    run(project)
    (project.path / "tutelage.db").write_bytes(b"overwritten " * 500)
    for name in ("tutelage.db-wal", "tutelage.db-shm"):
        (project.path / name).unlink(missing_ok=True)
    status = project.status()
    assert [s.state for s in status.stages] == ["done"]
    assert len(status.problems) == 1 and "cannot be read" in status.problems[0]
    with pytest.raises(StoreError, match="damaged"):
        run(project)
    assert json.dumps(status.to_dict())
