"""Formats: one conversation told in every format is one record, and a row that is wrong says where."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.records import Message, Prompt
from tutelage.data.formats import parse_comparisons, parse_demonstrations, parse_prompts, write_set_aside
from tutelage.data.judged import Origin
from tutelage.data.rows import Row, SetAside


def rows(*values: dict[str, Any]) -> list[Row | SetAside]:
    return [Row(v, "f.jsonl", n) for n, v in enumerate(values, start=1)]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


ONE = Prompt.of("Why is the sky blue?")
TWO = Prompt((Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Why is the sky blue?")))
GOOD, BAD = "Short waves scatter more.", "It mirrors the sea."
ASK = "Why is the sky blue?"
HISTORY = [user("Hi"), assistant("Hello."), user(ASK)]
TRANSCRIPT = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why is the sky blue?\n\nAssistant:"

PAIRS: dict[str, tuple[Prompt, dict[str, Any]]] = {
    "trl text": (ONE, {"prompt": ASK, "chosen": GOOD, "rejected": BAD}),
    "trl chat": (ONE, {"prompt": [user(ASK)], "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]}),
    "trl message": (ONE, {"prompt": ASK, "chosen": assistant(GOOD), "rejected": assistant(BAD)}),
    "trl implicit": (TWO, {"chosen": [*HISTORY, assistant(GOOD)], "rejected": [*HISTORY, assistant(BAD)]}),
    "trl goes on": (
        TWO,
        {
            "prompt": [user("Hi")],
            "chosen": [*HISTORY[1:], assistant(GOOD)],
            "rejected": [*HISTORY[1:], assistant(BAD)],
        },
    ),
    "ultrafeedback": (
        ONE,
        {
            "prompt": ASK,
            "prompt_id": "f0e37e",
            "chosen": [user(ASK), assistant(GOOD)],
            "rejected": [user(ASK), assistant(BAD)],
            "messages": [user(ASK), assistant(GOOD)],
            "score_chosen": 8.5,
            "score_rejected": 3,
        },
    ),
    "hh": (TWO, {"chosen": f"{TRANSCRIPT} {GOOD}", "rejected": f"{TRANSCRIPT} {BAD}"}),
    "hh with prompt": (TWO, {"prompt": TRANSCRIPT, "chosen": f" {GOOD}", "rejected": f" {BAD}"}),
    "sharegpt": (
        ONE,
        {
            "chosen": [{"from": "human", "value": ASK}, {"from": "gpt", "value": GOOD}],
            "rejected": [{"from": "human", "value": ASK}, {"from": "gpt", "value": BAD}],
        },
    ),
    "chat as text (csv)": (
        TWO,
        {"prompt": json.dumps(HISTORY), "chosen": GOOD, "rejected": BAD},
    ),
    "instruction": (ONE, {"instruction": ASK, "input": "", "chosen": GOOD, "rejected": BAD}),
    "question": (ONE, {"question": ASK, "chosen": GOOD, "rejected": BAD}),
    "parts": (
        ONE,
        {
            "prompt": [{"role": "user", "content": [{"type": "text", "text": ASK}]}],
            "chosen": GOOD,
            "rejected": BAD,
        },
    ),
    "ranking": (ONE, {"prompt": ASK, "responses": [BAD, GOOD], "ranking": [[1], [0]]}),
    "ranks": (ONE, {"prompt": [user(ASK)], "responses": [{"text": GOOD}, {"text": BAD}], "ranks": [1, 2]}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_one_preference_told_in_every_format(name: str) -> None:
    prompt, values = PAIRS[name]
    found = parse_comparisons(rows(values), origin=Origin("here"))
    assert found.set_aside == ()
    ((asked, responses, judgement),) = found.records
    assert asked == Prompt(prompt.messages, source="here") and asked.id == prompt.id
    text = {r.id: r.text for r in responses}
    assert [[text[r] for r in group] for group in judgement.ranking] == [[GOOD], [BAD]]
    assert judgement.prompt_id == prompt.id and set(judgement.shown) == set(text)
    assert (judgement.rater, judgement.kind) == ("here", "person")


def test_what_a_row_says_besides_is_kept() -> None:
    values = PAIRS["ultrafeedback"][1] | {
        "rater": "ana",
        "reason": "right",
        "seconds": 12,
        "topic": "physics",
    }
    found = parse_comparisons(
        rows(values | {"split": "judge", "source": "uf"}), origin=Origin("here")
    ).records[0]
    text = {r.id: r.text for r in found.responses}
    assert {text[who]: score for who, score in found.judgement.scores.items()} == {
        GOOD: {"overall": 8.5},
        BAD: {"overall": 3.0},
    }
    assert (found.judgement.rater, found.judgement.reason, found.judgement.seconds) == ("ana", "right", 12.0)
    assert (found.prompt.category, found.prompt.source) == ("physics", "uf")
    assert found.judgement.split == found.prompt.split == "judge"
    foreign = parse_comparisons(rows(values | {"split": "train"})).records[0]
    assert foreign.judgement.split == ""


def test_who_judged_a_person_or_a_model() -> None:
    pair = PAIRS["trl text"][1]

    def of(**more: str) -> tuple[str, str]:
        judgement = parse_comparisons(rows(pair | more), origin=Origin("here")).records[0].judgement
        return judgement.rater, judgement.kind

    assert of() == ("here", "person")
    assert of(judge="gpt-4") == ("gpt-4", "ai")
    assert of(rater="ana", judge="gpt-4") == ("ana", "person")
    assert of(rater="claude", rater_kind="ai") == ("claude", "ai")
    told = parse_comparisons(rows(pair), origin=Origin("here", "ai")).records[0].judgement
    assert told.kind == "ai"


def test_policies_are_kept_apart() -> None:
    values = PAIRS["trl text"][1] | {"model_chosen": "big", "model_rejected": "small"}
    found = parse_comparisons(rows(values)).records[0]
    assert {r.text: r.policy for r in found.responses} == {GOOD: "big", BAD: "small"}


def test_the_order_of_a_pair_carries_no_label() -> None:
    """Told with the labels exchanged, the same two responses are shown in the same order."""
    one, other = (
        parse_comparisons(rows({"prompt": ASK, "chosen": a, "rejected": b})).records[0]
        for a, b in ((GOOD, BAD), (BAD, GOOD))
    )
    assert one.judgement.shown == other.judgement.shown
    assert one.judgement.ranking == other.judgement.ranking[::-1]
    # over many pairs the better one stands first about half of the time (400 fair coins: 200 +- 4 x 10)
    many = [{"prompt": ASK, "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(400)]
    found = parse_comparisons(rows(*many)).records
    first = sum(one.judgement.shown[0] == one.judgement.ranking[0][0] for one in found)
    assert 160 < first < 240


RANKINGS: list[tuple[dict[str, Any], list[list[int]]]] = [
    ({"ranking": [[2], [0, 3], [1]]}, [[2], [0, 3], [1]]),
    ({"ranking": [[3], [1]]}, [[3], [1]]),  # partial: 0 and 2 unranked
    ({"ranks": [2, 3, 1, 2]}, [[2], [0, 3], [1]]),
    ({"ranking": [2, 3, 1, 2]}, [[2], [0, 3], [1]]),  # flat numbers are ranks
    ({"ranks": [2.5, None, 1, 2.5]}, [[2], [0, 3]]),
    ({"ranking": "[[2], [0, 3], [1]]"}, [[2], [0, 3], [1]]),  # as CSV carries it
    ({"ranking": [[0, 1, 2, 3]]}, [[0, 1, 2, 3]]),  # all tied is a judgement too
]


@pytest.mark.parametrize(("values", "expected"), RANKINGS)
def test_rankings_by_tie_groups_and_by_ranks(values: dict[str, Any], expected: list[list[int]]) -> None:
    found = parse_comparisons(rows({"prompt": ASK, "responses": ["a", "b", "c", "d"], **values}))
    assert found.set_aside == ()
    _, responses, judgement = found.records[0]
    assert [r.text for r in responses] == ["a", "b", "c", "d"]  # the order of the file is the order shown
    assert judgement.shown == tuple(r.id for r in responses)
    place = {r.id: n for n, r in enumerate(responses)}
    assert [[place[r] for r in group] for group in judgement.ranking] == expected


DEMONSTRATIONS: dict[str, tuple[Prompt, dict[str, Any]]] = {
    "messages": (TWO, {"messages": [*HISTORY, assistant(GOOD)]}),
    "conversations": (
        ONE,
        {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": GOOD}]},
    ),
    "prompt and completion": (ONE, {"prompt": ASK, "completion": GOOD}),
    "chat and completion": (ONE, {"prompt": [user(ASK)], "completion": [assistant(GOOD)]}),
    "alpaca": (ONE, {"instruction": ASK, "input": "", "output": GOOD, "text": "Below is an instruction ..."}),
    "alpaca without input": (ONE, {"instruction": ASK, "response": GOOD}),
    "dolly": (ONE, {"instruction": ASK, "context": None, "response": GOOD, "category": "open_qa"}),
    "question": (ONE, {"question": ASK, "answer": GOOD}),
    "hh chosen": (TWO, {"chosen": f"{TRANSCRIPT} {GOOD}", "rejected": f"{TRANSCRIPT} {BAD}"}),
    "hh text": (TWO, {"text": f"{TRANSCRIPT} {GOOD}"}),
    "chosen of a pair": (ONE, {"prompt": ASK, "chosen": [user(ASK), assistant(GOOD)], "rejected": BAD}),
}


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_one_demonstration_told_in_every_format(name: str) -> None:
    prompt, values = DEMONSTRATIONS[name]
    found = parse_demonstrations(rows(values), name="here")
    assert found.set_aside == ()
    assert [(d.prompt.id, d.response, d.author) for d in found.records] == [(prompt.id, GOOD, "here")]


def test_input_and_system_message_belong_to_the_prompt() -> None:
    values = {"system": "Be brief.", "instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}
    (found,) = parse_demonstrations(rows(values)).records
    assert found.prompt.messages == (
        Message("system", "Be brief."),
        Message("user", "Translate.\n\nGuten Tag"),
    )


@pytest.mark.parametrize("name", [*PAIRS, *DEMONSTRATIONS])
def test_every_row_gives_its_prompt(name: str) -> None:
    prompt, values = (PAIRS | DEMONSTRATIONS)[name]
    if name == "trl goes on":
        prompt = Prompt.of("Hi")  # a stated prompt is the prompt
    assert [p.id for p in parse_prompts(rows(values)).records] == [prompt.id]


def test_prompt_only_rows() -> None:
    values = [
        {"prompt": ASK},
        {"prompt": [user(ASK)]},
        {"messages": [user(ASK)]},
        {"text": ASK},
        {"query": ASK},
    ]
    assert {p.id for p in parse_prompts(rows(*values)).records} == {ONE.id}


COMPARISON_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": ASK, "chosen": GOOD, "rejected": f" {GOOD} "}, "rejected", "same text"),
    ({"prompt": ASK, "chosen": GOOD, "rejected": "  "}, "rejected", "it is empty"),
    ({"prompt": ASK, "chosen": 7, "rejected": BAD}, "chosen", "it is a number, not text"),
    ({"prompt": ASK, "chosen": GOOD, "rejected": None}, "", "needs the columns chosen and rejected"),
    ({"chosen": GOOD, "rejected": BAD}, "prompt", "it is missing, and chosen holds an answer"),
    (
        {"prompt": [assistant("Hi")], "chosen": GOOD, "rejected": BAD},
        "prompt",
        "ends with a assistant message",
    ),
    ({"prompt": ASK, "chosen": [user(ASK)], "rejected": BAD}, "chosen", "not with an answer"),
    ({"prompt": "Other?", "chosen": [user(ASK), assistant(GOOD)], "rejected": BAD}, "prompt", "differs from"),
    (
        {"chosen": [user("A"), assistant("b")], "rejected": [user("C"), assistant("d")]},
        "rejected",
        "different conv",
    ),
    (
        {"prompt": [{"role": "tool", "content": "x"}], "chosen": "a", "rejected": "b"},
        "prompt",
        "has the role 'tool'",
    ),
    ({"prompt": [{"role": "user", "content": ""}], "chosen": "a", "rejected": "b"}, "prompt", "has no text"),
    (
        {"prompt": [user("a"), {"role": "system", "content": "b"}], "chosen": "a", "rejected": "b"},
        "prompt",
        "system",
    ),
    ({"prompt": ["a"], "chosen": "a", "rejected": "b"}, "prompt", "it is a list"),
    (
        {"chosen": "\n\nHuman: a\n\nAssistant: ", "rejected": "\n\nHuman: a\n\nAssistant: b"},
        "chosen",
        "turn 2 .* empty",
    ),
    ({"prompt": ASK, "responses": ["a"], "ranking": [[0]]}, "responses", "at least two"),
    (
        {"prompt": ASK, "responses": ["a", "b", "a"], "ranking": [[0], [1]]},
        "responses",
        "0 and 2 are the same",
    ),
    ({"prompt": ASK, "responses": ["a", ""], "ranking": [[0], [1]]}, "responses[1]", "it is empty"),
    (
        {"prompt": ASK, "responses": ["a", "b"], "ranking": [[0], [2]]},
        "ranking",
        "names response 2, but there are 2",
    ),
    ({"prompt": ASK, "responses": ["a", "b"], "ranking": [[0], [0]]}, "ranking", "names response 0 twice"),
    (
        {"prompt": ASK, "responses": ["a", "b"], "ranking": [[0], []]},
        "ranking",
        "at least one response index",
    ),
    ({"prompt": ASK, "responses": ["a", "b"], "ranking": []}, "ranking", "0 ranks for 2"),
    ({"prompt": ASK, "responses": ["a", "b"], "ranking": [[1]]}, "ranking", "fewer than two"),
    ({"prompt": ASK, "responses": ["a", "b"], "ranks": [1, "x"]}, "ranks", "rank of response 1 is 'x'"),
    ({"prompt": ASK, "responses": ["a", "b"], "ranks": [1, float("nan")]}, "ranks", "not a number"),
    ({"prompt": ASK, "responses": ["a", "b"]}, "ranks", "it is missing"),
    ({"prompt": ASK, "chosen": "a", "rejected": "b", "rater_kind": "dog"}, "rater_kind", "known are person"),
]


@pytest.mark.parametrize(("values", "field", "reason"), COMPARISON_FAULTS)
def test_a_comparison_that_cannot_be_parsed_says_why(values: dict[str, Any], field: str, reason: str) -> None:
    good = PAIRS["trl text"][1]
    found = parse_comparisons(rows(good, values, good))
    assert len(found.records) == 2
    (aside,) = found.set_aside
    assert (aside.file, aside.line, aside.field) == ("f.jsonl", 2, field)
    assert re.search(reason, aside.reason)
    assert aside.row == values


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"messages": [user(ASK)]}, "messages", "no answer to learn"),
        ({"messages": [assistant(GOOD)]}, "messages", "the prompt is missing"),
        ({"messages": []}, "messages", "it is empty"),
        ({"messages": "hello"}, "messages", "it is text: expected a list"),
        ({"instruction": ASK, "output": ""}, "output", "it is empty"),
        ({"instruction": "", "output": "x"}, "instruction", "it is empty"),
        ({"responses": ["a", "b"]}, "", "needs the columns messages"),
    ],
)
def test_a_demonstration_that_cannot_be_parsed_says_why(
    values: dict[str, Any], field: str, reason: str
) -> None:
    (aside,) = parse_demonstrations(rows(values)).set_aside
    assert aside.field == field and reason in aside.reason


def test_a_format_that_is_named_is_not_guessed() -> None:
    plain, hh = PAIRS["trl text"][1], PAIRS["hh"][1]
    assert parse_comparisons(rows(hh), "hh").set_aside == ()
    assert parse_comparisons(rows(plain), "hh").set_aside[0].field == "chosen"
    assert "no comparisons" in parse_comparisons(rows(plain), "instruction").set_aside[0].reason
    # with `messages` beside it, only the named format reads the instruction
    both = {"instruction": ASK, "output": GOOD, "messages": [*HISTORY, assistant(BAD)]}
    assert parse_demonstrations(rows(both), "instruction").records[0].response == GOOD
    assert parse_demonstrations(rows(both)).records[0].response == BAD


words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda t: not t.startswith(("Human:", "Assistant:"))
)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=4), words)
def test_a_transcript_comes_back_as_it_was(exchanges: list[tuple[str, str]], other: str) -> None:
    turns = [(role, text) for pair in exchanges for role, text in zip(("Human", "Assistant"), pair)]
    transcript = "".join(f"\n\n{role}: {text}" for role, text in turns)
    (found,) = parse_demonstrations(rows({"chosen": transcript})).records
    said = [*((m.role, m.content) for m in found.prompt.messages), ("assistant", found.response)]
    assert said == [("user" if role == "Human" else "assistant", text) for role, text in turns]
    rejected = "".join(f"\n\n{role}: {text}" for role, text in turns[:-1]) + f"\n\nAssistant: {other}"
    pair = parse_comparisons(rows({"chosen": transcript, "rejected": rejected}))
    if other == turns[-1][1]:
        assert pair.set_aside[0].reason == "chosen and rejected are the same text"
    else:
        assert pair.records[0].prompt.id == found.prompt.id


def test_speakers_who_go_on_are_one_turn() -> None:
    """As in 13 rows of HH harmless-base."""
    text = "\n\nHuman: One.\n\nHuman: Two.\n\nAssistant: Three.\n\nAssistant: Four."
    (found,) = parse_demonstrations(rows({"text": text})).records
    assert found.prompt.messages == (Message("user", "One.\n\nTwo."),)
    assert found.response == "Three.\n\nFour."


def test_rows_set_aside_are_written_with_their_row(tmp_path: Path) -> None:
    found = parse_comparisons([SetAside("f.jsonl", 1, "", "not JSON", "{"), *rows({"prompt": 3})])
    path = tmp_path / "set_aside.jsonl"
    assert write_set_aside(path, found.set_aside) == 2
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written[0] == {"file": "f.jsonl", "line": 1, "field": "", "reason": "not JSON", "row": "{"}
    assert written[1]["row"] == {"prompt": 3}
