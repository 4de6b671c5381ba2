"""The work over JSON: what a rater is told, what comes of an answer, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from starlette.testclient import TestClient

from tests.web.conftest import PASSWORD, Person
from tests.web.projects import POLICY, SIZES
from tutelage.core.settings import PeopleSettings
from tutelage.preferences.desk import Desk
from tutelage.preferences.gold import SPLIT, shipped_gold
from tutelage.store import tables
from tutelage.store.records import Records
from tutelage.web.limits import SIGN_IN_FROM_ADDRESS
from tutelage.web.site import Site

AsPerson = Callable[..., Person]


def rank_all(who: Person) -> list[dict]:
    """Answers everything that waits, in the order shown; returns the tasks."""
    seen = []
    while (task := who.get("/api/next").json()) is not None:
        seen.append(task)
        ranking = [[r["key"]] for r in task["responses"]]
        answer = who.post("/api/submit", task=task["task"], ranking=ranking, seconds=3)
        assert answer.status_code == 200, answer.text
        assert len(seen) < 50
    return seen


def test_practice_comes_first_and_is_explained(person: AsPerson) -> None:
    ada = person("Ada")
    task = ada.get("/api/next").json()
    assert task["kind"] == "calibration"
    ranking = [[r["key"]] for r in task["responses"]]
    learnt = ada.post("/api/submit", task=task["task"], ranking=ranking).json()
    assert isinstance(learnt["agreed"], bool)
    assert sorted(k for group in learnt["expected"] for k in group) == [r["key"] for r in task["responses"]]
    assert set(learnt["explanation"]) <= {"helpful", "harmless", "honest"} and learnt["explanation"]


def test_each_ranking_becomes_a_judgement_of_that_rater(site: Site, person: AsPerson) -> None:
    ada = person("Ada")
    texts = {r.id: r.text for r in Records(site.database).responses.list()}
    wanted = {}
    while (task := ada.get("/api/next").json()) is not None:
        shown = {r["key"]: r["text"] for r in task["responses"]}
        sent = {
            "ranking": [["B"], ["A", "D"]],
            "scores": {"B": {"honest": 5}},
            "reason": " clear ",
            "seconds": 7.5,
        }
        assert ada.post("/api/submit", task=task["task"], **sent).json()["submitted"]
        if task["kind"] == "work":
            wanted[tuple(shown.values())] = ([shown["B"]], sorted([shown["A"], shown["D"]]))
    kept = [j for j in Records(site.database).judgements.list() if j.split != SPLIT]
    assert {len(j.shown) for j in kept} == {4, 9} and len(kept) == len(wanted) == len(SIZES)
    for judgement in kept:
        best, tied = wanted[tuple(texts[i] for i in judgement.shown)]
        first, second = judgement.ranking
        assert [texts[i] for i in first] == best and sorted(texts[i] for i in second) == tied
        assert judgement.scores == {first[0]: {"honest": 5}}
        assert (judgement.rater, judgement.reason, judgement.seconds) == ("Ada", "clear", 7.5)


def test_a_gold_question_is_told_as_any_other(site: Site, person: AsPerson) -> None:
    site.desk = Desk(site.database, PeopleSettings(calibration=0, gold_rate=0.5, overlap=50), seed=2)
    told, kinds = set(), set()
    for number in range(12):  # what a rater is dealt depends on a random id: one in eight gets no gold
        rater = person(f"Rater {number}")
        while (task := rater.get("/api/next").json()) is not None:
            assert task["kind"] == "work"
            ranking = [[r["key"]] for r in task["responses"]]
            told.add(rater.post("/api/submit", task=task["task"], ranking=ranking).text)
        with site.database.read() as connection:
            kinds = set(connection.scalars(select(tables.tasks.c.kind)))
        if "gold" in kinds:
            break
    assert kinds == {"work", "gold"} and told == {'{"submitted":true}'}


def test_nothing_says_who_wrote_what(site: Site, person: AsPerson) -> None:
    ada = person("Ada")
    told = []
    while (answer := ada.get("/api/next")).json() is not None:
        task = answer.json()
        told += [answer.text]
        ranking = [[r["key"] for r in task["responses"]]]
        told.append(ada.post("/api/submit", task=task["task"], ranking=ranking).text)
    told.append(ada.post("/api/undo").text)
    said = " ".join(told)
    responses = Records(site.database).responses.list()
    assert responses
    for response in responses:
        assert response.id not in said and response.policy not in said
    assert POLICY not in said and "gold" not in said


def test_raters_see_the_responses_in_orders_of_their_own(person: AsPerson) -> None:
    def order(name: str) -> dict[str, list[str]]:
        return {
            json.dumps(t["conversation"]): [r["text"] for r in t["responses"]]
            for t in rank_all(person(name))
            if t["kind"] == "work"
        }

    ada, bob = order("Ada"), order("Bob")
    both = ada.keys() & bob.keys()
    assert both and any(ada[p] != bob[p] for p in both)
    assert all(sorted(ada[p]) == sorted(bob[p]) for p in both)


def test_a_draft_comes_back(person: AsPerson) -> None:
    ada = person("Ada")
    task = ada.get("/api/next").json()
    content = {"places": {"A": 2, "B": 1}, "reason": "<b>B</b> is shorter", "seconds": 12.5}
    assert ada.put("/api/draft", task=task["task"], content=content).json() == {"saved": True}
    again = ada.get("/api/next").json()
    assert again["task"] == task["task"] and again["draft"] == content


def test_the_same_submit_again_is_one_judgement_and_another_is_refused(site: Site, person: AsPerson) -> None:
    ada = person("Ada")
    task = ada.get("/api/next").json()
    ranking = [[r["key"]] for r in task["responses"]]
    first = ada.post("/api/submit", task=task["task"], ranking=ranking)
    again = ada.post("/api/submit", task=task["task"], ranking=ranking)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = ada.post("/api/submit", task=task["task"], ranking=ranking[::-1])
    assert other.status_code == 409 and "\n" not in other.json()["detail"]


def test_undo_opens_the_last_one_again(person: AsPerson) -> None:
    ada = person("Ada")
    task = ada.get("/api/next").json()
    ada.post("/api/submit", task=task["task"], ranking=[[r["key"]] for r in task["responses"]])
    opened = ada.post("/api/undo").json()
    assert opened["task"] == task["task"] and opened["responses"] == task["responses"]
    assert ada.get("/api/next").json()["task"] == task["task"]


def test_another_raters_task_is_not_there(person: AsPerson) -> None:
    ada, bob = person("Ada"), person("Bob")
    task = ada.get("/api/next").json()
    ranking = [[r["key"]] for r in task["responses"]]
    for answer in (
        bob.post("/api/submit", task=task["task"], ranking=ranking),
        bob.put("/api/draft", task=task["task"], content={}),
        bob.post("/api/report", task=task["task"], text="broken"),
    ):
        assert answer.status_code in (404, 409, 422), answer.text
    assert ada.post("/api/submit", task=task["task"], ranking=ranking).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"ranking": [["Z"]]},
        {"ranking": [["I"], ["A"]]},
        {"ranking": [["A"], ["A"]]},
        {"ranking": [["A"], []]},
        {"ranking": [["A"]] * 10},
        {"ranking": [["A"], ["B"]], "scores": {"A": {"helpful": 6}}},
        {"ranking": [["A"], ["B"]], "scores": {"A": {"pretty": 1}}},
        {"ranking": [["A"], ["B"]], "seconds": -1},
        {"ranking": [["A"], ["B"]], "reason": "x" * 9000},
        {"ranking": [["A"], ["B"]], "policy": "ppo"},
        {"ranking": [], "outcome": "ranked"},
        {"outcome": "no idea"},
    ],
)
def test_what_is_no_answer_is_refused_and_changes_nothing(person: AsPerson, wrong: dict) -> None:
    ada = person("Ada")
    task = ada.get("/api/next").json()
    refused = ada.post("/api/submit", task=task["task"], **wrong)
    assert refused.status_code == 422, refused.text
    assert ada.get("/api/next").json()["task"] == task["task"]


def test_cannot_judge_and_all_bad_are_answers(person: AsPerson) -> None:
    ada = person("Ada")
    for outcome in ("cannot-judge", "all-bad"):
        task = ada.get("/api/next").json()
        assert ada.post("/api/submit", task=task["task"], outcome=outcome).status_code == 200
        assert ada.get("/api/next").json()["task"] != task["task"]


def test_a_write_needs_the_token_of_its_session(person: AsPerson) -> None:
    ada, bob = person("Ada"), person("Bob")
    task = ada.get("/api/next").json()
    for headers in ({}, {"X-CSRF-Token": "x"}, bob.headers):
        refused = ada.client.post("/api/undo", headers=headers)
        assert refused.status_code == 403
        assert (
            ada.client.put(
                "/api/draft", json={"task": task["task"], "content": {}}, headers=headers
            ).status_code
            == 403
        )
    assert ada.client.get("/api/me").json()["csrf"] == ada.headers["X-CSRF-Token"]


def test_signing_in_is_limited_by_name_and_says_when_to_try_again(
    visitor: TestClient, person: AsPerson
) -> None:
    person("Ada")
    wrong = {"name": "Ada", "password": "guess"}
    answers = [visitor.post("/api/sign-in", json=wrong) for _ in range(9)]
    assert {a.status_code for a in answers[:7]} == {401}
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) > 0
    assert visitor.post("/api/sign-in", json={"name": "Ada", "password": PASSWORD}).status_code == 429


def test_an_office_signs_in_from_one_address_and_a_guesser_there_is_held_back(
    visitor: TestClient, site: Site, person: AsPerson
) -> None:
    site.accounts._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    for number in range(SIGN_IN_FROM_ADDRESS.burst // 2 + 1):  # each accepts an invitation and signs in
        name = f"Rater {number}"
        link = f"/invite/{site.accounts.invite('rater')}"
        form = {"name": name, "password": PASSWORD}
        assert visitor.post(link, data=form, follow_redirects=False).status_code == 303
        assert visitor.post("/api/sign-in", json={"name": name, "password": PASSWORD}).status_code == 200
    guesses = [visitor.post("/api/sign-in", json={"name": f"R{n}", "password": "x"}) for n in range(60)]
    assert [g.status_code for g in guesses].count(401) <= SIGN_IN_FROM_ADDRESS.burst + 15
    assert guesses[-1].status_code == 429


def test_a_name_in_several_spellings_has_one_limit(visitor: TestClient, person: AsPerson) -> None:
    person("Ada Lovelace")
    spelled = ["Ada Lovelace", "ada  lovelace", " ADA   LOVELACE"]
    answers = [
        visitor.post("/api/sign-in", json={"name": spelled[n % 3], "password": "guess"}) for n in range(10)
    ]
    # Signing in took one of the eight.
    assert [a.status_code for a in answers] == [401] * 7 + [429] * 3


def test_a_wrong_name_is_told_as_a_wrong_password(visitor: TestClient, person: AsPerson) -> None:
    person("Ada")
    known = visitor.post("/api/sign-in", json={"name": "Ada", "password": "guess"})
    unknown = visitor.post("/api/sign-in", json={"name": "Nobody", "password": "guess"})
    assert known.status_code == unknown.status_code == 401
    assert known.json() == unknown.json()


def test_an_owner_invites_and_closes_accounts(person: AsPerson, visitor: TestClient) -> None:
    owner, ada = person("Olga", "owner"), person("Ada")
    link = owner.post("/api/invitations", role="rater", name="Bob", groups={"region": "north"}).json()["link"]
    assert "Bob" in visitor.get(link).text
    known = {r["name"]: r for r in owner.get("/api/raters").json()}
    assert known["Ada"]["role"] == "rater" and "password" not in str(known)
    assert owner.post(f"/api/raters/{known['Ada']['id']}/deactivate").status_code == 200
    assert ada.get("/api/next").status_code == 401
    assert owner.post(f"/api/raters/{known['Olga']['id']}/deactivate").status_code == 409


def test_health_and_metrics(visitor: TestClient, person: AsPerson, site: Site) -> None:
    assert visitor.get("/healthz").json() == {"status": "ok"}
    assert visitor.get("/metrics").status_code == 401
    owner = person("Olga", "owner")
    text = owner.get("/metrics").text
    assert "tutelage_judgements" in text and text.endswith("\n")
    site.metrics_token = "secret"
    assert visitor.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert visitor.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_an_explanation_names_responses_by_the_letters_of_this_rater(person: AsPerson) -> None:
    ada = person("Ada")
    task = ada.get("/api/next").json()
    ranking = [[r["key"]] for r in task["responses"]]
    learnt = ada.post("/api/submit", task=task["task"], ranking=ranking).json()
    said = " ".join(learnt["explanation"].values())
    assert "{" not in said
    question = next(g for g in shipped_gold() if g.prompt.text == task["conversation"][-1]["content"])
    letters = {r["text"]: r["key"] for r in task["responses"]}
    wanted = " ".join(question.explanation[name] for name in learnt["explanation"])
    for response in question.responses:
        wanted = wanted.replace(f"{{{response.id}}}", letters[response.text])
    assert said == wanted


HOSTILE = (
    r'"\ud800"',
    r'"\u0000"',
    r'"\u202e<script>"',
    "NaN",
    "1e999",
    "null",
    "[]",
    '{"a":' * 200 + "1" + "}" * 200,
)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_however_odd_is_a_fault_of_ours(person: AsPerson, site: Site, value: str) -> None:
    ada = person("Ada", "owner")
    task = ada.get("/api/next").json()["task"]
    bodies = [
        ("POST", "/api/sign-in", f'{{"name": {value}, "password": "x"}}'),
        ("POST", "/api/sign-in", f'{{"name": "Ada", "password": {value}}}'),
        ("PUT", "/api/draft", f'{{"task": "{task}", "content": {{"x": {value}}}}}'),
        ("PUT", "/api/draft", f'{{"task": {value}, "content": {{}}}}'),
        ("POST", "/api/report", f'{{"task": "{task}", "text": {value}}}'),
        ("POST", "/api/invitations", f'{{"name": {value}, "groups": {{"x": {value}}}}}'),
        ("POST", "/api/submit", f'{{"task": "{task}", "ranking": {value}, "seconds": {value}}}'),
        (
            "POST",
            "/api/submit",
            f'{{"task": "{task}", "outcome": "all-bad", "reason": {value}, "better": {value}}}',
        ),
    ]
    ada.client.headers["Content-Type"] = "application/json"
    for method, path, body in bodies:
        answer = ada.client.request(method, path, content=body, headers=ada.headers)
        assert answer.status_code < 500, (path, body, answer.text)
        if answer.status_code >= 400:
            assert isinstance(answer.json()["detail"], str) and len(answer.json()["detail"]) < 300
    assert ada.get("/api/next").status_code == 200
