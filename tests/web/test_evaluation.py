"""Blind evaluation from the command to the page to the results, over the JSON interface."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from tests.evals.evaluated import leave_evaluation
from tests.web.conftest import Person
from tutelage.cli.group import tutelage
from tutelage.evals.human_results import Results
from tutelage.pipeline.humans import closed_results
from tutelage.pipeline.project import Project
from tutelage.pipeline.said import closed_rounds, said_by_people
from tutelage.store import rounds, tables
from tutelage.store.records import Records
from tutelage.web.site import Site

AsPerson = Callable[..., Person]


@pytest.fixture
def command(site: Site) -> Callable[..., str]:
    """`command("humans", "open")`: what the command prints, in the project of the pages."""
    leave_evaluation(site.folder, "base", "sft", "ppo")

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(tutelage, ["-C", str(site.folder), *arguments])
        assert done.exit_code == code, done.output
        return done.output

    return run


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of a round are wanted as soon as it is opened, and raters here are faster than any limit allows."""
    monkeypatch.setattr("tutelage.preferences.dealing.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("tutelage.web.limits.Limiter.wait", lambda *_: 0.0)


def judge_for(who: Person, model: str, limit: int = 1000) -> int:
    """Answers every pair that waits in favour of the model whose name stands in its answers; practice as shown."""
    judged = 0
    while judged < limit and (task := who.get("/api/next").json()) is not None:
        texts = {r["key"]: r["text"] for r in task["responses"]}
        first = sorted(texts, key=lambda key: (f"by {model.upper()} " not in texts[key], key))
        sent = {"ranking": [[key] for key in first], "seconds": 4}
        if len(texts) == 2:
            sent["scores"] = {first[0]: {"helpful": 4}, first[1]: {"helpful": 2}}
        answer = who.post("/api/submit", task=task["task"], **sent)
        assert answer.status_code == 200, answer.text
        judged += len(texts) == 2
        if task["kind"] == "work" and len(texts) != 2:
            break
    return judged


def test_from_the_command_over_the_raters_to_the_results(
    site: Site, person: AsPerson, command: Callable[..., str]
) -> None:
    said = command("humans", "open", "--prompts", "20", "humans.raters=2")
    assert "base, ppo on 20 prompts, 20 pairs of answers for 2 raters each" in said
    assert "close it first" in command("humans", "open", code=2)
    ada, bob = person("Ada"), person("Bob")
    assert judge_for(ada, "ppo") == judge_for(bob, "ppo") == 20
    still = command("humans", "results")
    assert closed_rounds(Project(site.folder).recipe(), site.folder) == {}
    assert "40 judgements by 2 raters" in still and "Stop" in still
    assert "preferred" not in still and "100.0%" not in still
    closed = command("humans", "close")
    assert "ppo is preferred to base: ppo wins 100.0%" in closed
    found = json.loads(command("humans", "results", "--json"))
    (pair,) = found["pairs"]
    assert (pair["wins"], pair["ties"], pair["losses"], pair["conclusion"]) == (40, 0, 0, "above")
    assert pair["rate"]["n"] == 20 and pair["rate"]["low"] > 0.5 and found["agreed"] == 1.0
    assert found["scores"]["ppo"]["helpful"][""]["value"] == 4
    assert found["scores"]["base"]["helpful"]["harmful"]["value"] == 2
    assert "no round is open" in command("humans", "close", code=2)
    # The report is told of it once it is closed.
    recipe = Project(site.folder).recipe()
    (reported,) = closed_results(recipe, site.folder, closed_rounds(recipe, site.folder))
    assert reported.to_dict() == Results.from_dict(found).to_dict()


def test_what_is_said_of_a_round_trains_nothing_and_is_told_to_nobody(
    site: Site, person: AsPerson, command: Callable[..., str]
) -> None:
    command("humans", "open", "--prompts", "5", "humans.raters=1")
    ada = person("Ada")
    seen: list[str] = []
    while (task := ada.get("/api/next").json()) is not None:
        if len(task["responses"]) == 2:
            assert task["kind"] == "work"
            seen.append(json.dumps({k: v for k, v in task.items() if k != "responses"}))
            answer = ada.post(
                "/api/submit", task=task["task"], ranking=[["A"], ["B"]], better="Mine is better."
            )
            assert answer.json() == {"submitted": True}
        elif task["kind"] == "calibration":
            ada.post("/api/submit", task=task["task"], ranking=[[r["key"]] for r in task["responses"]])
        else:
            break
    assert len(seen) == 5 and not any(name in text for text in seen for name in ("base", "ppo", "evaluation"))
    records = Records(site.database)
    kept = records.judgements.list(split="evaluation")
    assert len(kept) == 5 and records.judgements.count() == 7
    project = Project(site.folder)
    assert said_by_people(project.recipe(), site.folder) == {} and records.demonstrations.count() == 0
    # Undone and done again: still nothing to learn from, and the own answer is in the history alone.
    again = ada.post("/api/undo").json()
    ada.post("/api/submit", task=again["task"], ranking=[["B"], ["A"]])
    assert said_by_people(project.recipe(), site.folder) == {} and records.demonstrations.count() == 0
    assert records.judgements.count(split="evaluation") == 5
    # The work that trains is dealt as ever.
    work = ada.get("/api/next").json()
    ada.post("/api/submit", task=work["task"], ranking=[[r["key"]] for r in work["responses"]])
    assert len(said_by_people(project.recipe(), site.folder)) == 1
    # Nor does an export of what trains hold it, and an import of it is not given to runs.
    command("store", "export", str(site.folder / "out.jsonl"), "--format", "trl")
    prompts = {p.id for p in records.prompts.list(split="evaluation")}
    texts = {r.text for r in records.responses.list() if r.prompt_id in prompts}
    assert not any(text in (site.folder / "out.jsonl").read_text() for text in texts)


def test_a_pair_has_as_many_raters_as_wanted_and_order_says_nothing(
    site: Site, person: AsPerson, command: Callable[..., str]
) -> None:
    command("humans", "open", "--prompts", "16", "humans.raters=2")
    for name in ("Ada", "Bob", "Cy"):
        judge_for(person(name), "ppo")
    with site.database.read() as connection:
        found = rounds.open_round(connection)
        assert found is not None
        by_unit = {u.unit: u for u in rounds.units_of(connection, found.id)}
        asked = connection.execute(select(tables.tasks).where(tables.tasks.c.kind == "evaluation")).all()
    assert len(asked) == 32 and {row.unit for row in asked} == set(by_unit)
    base_first = sum(row.shown[0] == by_unit[row.unit].responses[0] for row in asked)
    assert 6 <= base_first <= 26


def test_the_page_tells_who_is_ahead_only_once_the_round_is_closed(
    site: Site, person: AsPerson, command: Callable[..., str]
) -> None:
    olga, vera = person("Olga", "owner"), person("Vera", "viewer")
    assert "No round yet" in olga.get("/evaluation").text
    command("humans", "open", "--prompts", "20", "--models", "base, ppo", "humans.raters=1")
    judge_for(person("Ada"), "ppo")
    text = olga.get("/evaluation").text
    assert "Stop: every pair of models is settled" in text and "20 of 20" in text
    assert "preferred" not in text and "100.0%" not in text
    (now,) = olga.get("/api/evaluation").json()
    assert now["advice"].startswith("Stop") and "pairs" not in now and "preferred" not in json.dumps(now)
    assert "Close the round" not in vera.get("/evaluation").text
    assert (
        vera.client.post("/evaluation/close", data={"csrf": vera.headers["X-CSRF-Token"]}).status_code == 403
    )
    assert olga.client.post("/evaluation/close", data={"csrf": "guessed"}).status_code == 403
    shut = olga.client.post("/evaluation/close", data={"csrf": olga.headers["X-CSRF-Token"]})
    assert shut.status_code == 200 and "Ppo is preferred to base" in shut.text
    assert "harmless, though they sound harmful" in shut.text
    (done,) = olga.get("/api/evaluation").json()
    assert done["pairs"][0]["wins"] == 20 and done["closed"]


def test_later_rounds_ask_the_same_prompts_and_closed_results_stay(
    site: Site, person: AsPerson, command: Callable[..., str]
) -> None:
    command("humans", "open", "--prompts", "12", "humans.raters=1")
    ada = person("Ada")
    judge_for(ada, "base", limit=12)
    open_task = ada.get("/api/next").json()
    first = command("humans", "close")
    ada.post("/api/submit", task=open_task["task"], ranking=[["A"], ["B"]])
    assert "base is preferred to ppo" in first and command("humans", "results") == first
    again = command("humans", "open", "--models", "base,sft,ppo", "--prompts", "20", "humans.raters=1")
    assert "on 12 prompts, 36 pairs" in again
    judge_for(ada, "ppo", limit=36)
    with site.database.read() as connection:
        sets = [
            {u.prompt_id for u in rounds.units_of(connection, one.id)} for one in rounds.rounds(connection)
        ]
    assert sets[0] == sets[1]
    told = command("humans", "close")
    assert "rating of ppo" in told and command("humans", "results", "--round", "1") == first
    assert "on 20 prompts" in command("humans", "open", "--prompts", "20", "--new-prompts")
    assert "there is no round 9" in command("humans", "results", "--round", "9", code=2)


def test_what_cannot_be_opened_says_why(site: Site, command: Callable[..., str]) -> None:
    assert "no answers by 'dpo': it has those of base, ppo, sft" in command(
        "humans", "open", "--models", "base,dpo", code=2
    )
    assert "two to nine models" in command("humans", "open", "--models", "base", code=2)
    assert "there is no round of blind evaluation" in command("humans", "results", code=2)
    assert "more than 1 together" in command("humans", "open", "humans.harmful_share=0.9", code=2)


def test_without_an_evaluation_there_is_no_round(site: Site) -> None:
    done = CliRunner().invoke(tutelage, ["-C", str(site.folder), "humans", "open"])
    assert done.exit_code == 2 and "run `tutelage evaluate` first" in done.output
