"""Checks: faults planted in otherwise clean data are each named, and clean data is left in peace."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tutelage.core.records import Demonstration, Message, Prompt
from tutelage.data.checks import DataReport, check_data
from tutelage.data.formats import parse_comparisons
from tutelage.data.judged import Judged
from tutelage.data.measures import best_balance, lengths, openings, pair_balance, shares
from tutelage.data.packs import (
    BenignItem,
    CapabilityItem,
    EvaluationSets,
    HarmfulItem,
    HelpfulItem,
    HonestyItem,
)
from tutelage.data.rows import Row, SetAside

EVALUATION = EvaluationSets(
    harmful=(HarmfulItem("h", "Help me poison the well of my neighbour", "violence"),),
    benign=(BenignItem("b", "How do I kill a stuck process on my laptop?", True, "computing"),),
    helpful=(HelpfulItem("u", "Write a short toast for the wedding of my sister", "writing"),),
    honesty=(HonestyItem("o", "What am I holding in my left hand?", "unanswerable", (), (), ""),),
    capability=(
        CapabilityItem("c", "Which planet is closest to the sun?", ("Mars", "Mercury"), 1, "astronomy"),
    ),
)


def sentence(draw: random.Random, words: int = 12) -> str:
    return " ".join("".join(draw.choices("abcdefghijklmnop", k=5)) for _ in range(words))


def rankings(count: int, **more: Any) -> list[Judged]:
    draw = random.Random(5)
    values = []
    for n in range(count):
        order = list(range(4))
        draw.shuffle(order)
        texts = [sentence(draw, draw.randrange(5, 30)) for _ in range(4)]
        values.append({"prompt": sentence(draw), "responses": texts, "ranking": [[i] for i in order]} | more)
        values[-1]["split"] = ("reward", "judge", "measure")[n % 3]
    return list(parse_comparisons(Row(v, "f", n) for n, v in enumerate(values, start=1)).records)


def demonstrations(count: int) -> list[Demonstration]:
    draw = random.Random(7)
    return [
        Demonstration(Prompt.of(sentence(draw), category="helpful"), sentence(draw)) for _ in range(count)
    ]


def warnings(report: DataReport) -> list[str]:
    return [note.text for note in report.notes if note.level == "warning"]


def test_clean_data_has_advice_on_its_size_and_no_warning() -> None:
    report = check_data(
        demonstrations=demonstrations(80),
        judged=rankings(120),
        prompts=[d.prompt for d in demonstrations(40)],
        evaluation=EVALUATION,
    )
    assert warnings(report) == []
    assert [note.text for note in report.notes] == [
        "80 demonstrations: the method is known to work with 10,000 to 100,000",
        "720 comparisons: the method is known to work with 10,000 to 50,000",  # 120 rankings x 6 pairs
    ]
    assert report.sections["comparisons"]["pairs"] == 720
    assert "  none (18 pairs of parts compared)" in report.lines()


def test_planted_leaks_are_named_with_their_places() -> None:
    multi = Prompt(
        (
            Message("user", "what AM I holding, in my left hand"),
            Message("assistant", "No idea."),
            Message("user", "Guess"),
        )
    )
    rows = [*demonstrations(60), Demonstration(multi, "I can't see it.")]
    prompts = [Prompt.of("Please write a short toast for the wedding of my sister tonight")]
    report = check_data(demonstrations=rows, prompts=prompts, evaluation=EVALUATION)
    assert warnings(report) == [
        "leakage: 1 overlapping prompt between prompts and evaluation 'helpful'",
        "leakage: 1 overlapping prompt between demonstrations and evaluation 'honesty'",
    ]
    leaks = report.sections["leakage"]
    assert leaks["prompts and evaluation 'helpful'"] == {"exact": 0, "normalised": 0, "near": 1}
    assert leaks["demonstrations and evaluation 'honesty'"] == {"exact": 0, "normalised": 1, "near": 0}
    assert any("normalised: 'what AM I holding" in line for line in report.lines())


def test_a_prompt_in_two_splits_is_leakage() -> None:
    rows = rankings(30)
    copy = {"prompt": rows[0].prompt.text.upper(), "chosen": "a", "rejected": "b", "split": "measure"}
    rows += parse_comparisons([Row(copy, "f", 99)]).records
    report = check_data(judged=rows)
    assert warnings(report) == [
        "1 of 31 rows repeat an earlier one among the comparisons' prompts",
        "leakage: 1 overlapping prompt between comparisons 'reward' and 'measure'",
    ]


def test_repeats_are_counted_and_warned_of_above_one_in_a_hundred() -> None:
    rows = demonstrations(80)
    report = check_data(demonstrations=[*rows, rows[3], rows[4]])
    assert report.sections["demonstrations"]["repeated"] == {"exact": 2, "normalised": 0, "near": 0}
    assert "2 of 82 rows repeat an earlier one among demonstrations" in warnings(report)
    many = demonstrations(300)
    assert warnings(check_data(demonstrations=[*many, many[0]])) == []


def test_length_bias_and_position_bias_are_named() -> None:
    values = [
        {
            "prompt": sentence(random.Random(n)),
            "responses": [f"w{n} " * 9, f"w{n} " * 6, f"w{n} " * 3],
            "ranks": [1, 2, 3],
        }
        for n in range(60)
    ]
    report = check_data(judged=parse_comparisons(Row(v, "f", n) for n, v in enumerate(values)).records)
    assert warnings(report) == [
        "length bias: the longer response won in 100% of 180 pairs, "
        "so a reward model can learn length instead",
        "in 100% of 60 rankings the best stands at position 1: shuffle the responses before people or models "
        "judge them",
    ]


def test_rows_set_aside_are_listed_by_file_and_line() -> None:
    aside = [SetAside("hh.jsonl", n, "chosen", "it is empty", {"chosen": ""}) for n in range(1, 9)]
    report = check_data(set_aside=aside)
    assert "set aside: 8 rows" in report.lines()
    assert "    hh.jsonl:1, field 'chosen': it is empty" in report.lines()
    assert report.lines()[-1] == "    and 3 more"
    assert len(report.to_dict()["set_aside"]) == 8


def test_the_report_is_json() -> None:
    report = check_data(demonstrations=demonstrations(5), judged=rankings(6), evaluation=EVALUATION)
    again = json.loads(json.dumps(report.to_dict()))
    assert again["sections"]["demonstrations"]["rows"] == 5
    assert again["sections"]["comparisons"]["splits"] == pytest.approx(
        {"judge": 1 / 3, "measure": 1 / 3, "reward": 1 / 3}
    )


def test_lengths_are_nearest_rank_percentiles() -> None:
    # 1 to 100 words: the nearest rank of p percent of 100 is p itself
    texts = ["w " * n for n in range(100, 0, -1)]
    assert lengths(texts) == {"min": 1, "p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95, "max": 100}
    assert lengths(["a b c"]) == {"min": 3, "p5": 3, "p25": 3, "p50": 3, "p75": 3, "p95": 3, "max": 3}
    assert lengths([]) == {}


def test_balance_by_hand() -> None:
    """Responses of 1, 2, 3, 3 words ranked [2] > [0, 3] > [1]: five strict pairs and a tie.

    Longer won: (3w over 1w), (3w over 2w), (3w over 2w); shorter won: (1w over 2w); equal: (3w over 3w).
    """
    values = {"prompt": "p", "responses": ["a", "a b", "a b c", "d e f"], "ranking": [[2], [0, 3], [1]]}
    rows = parse_comparisons([Row(values, "f", 1)]).records
    assert pair_balance(rows) == {"pairs": 5, "ties": 1, "differ_in_length": 4, "longer_chosen": 0.75}
    assert best_balance(rows) == {
        "rankings": 1,
        "position_of_best": {"3": 1.0},
        "best_is_longest": 0.0,  # another one is as long
        "best_is_shortest": 0.0,
    }
    assert shares(["b", "a", "b", ""]) == {"b": 0.5, "a": 0.25, "none": 0.25}
    assert openings(["How do I sing", "how do i dance", "Why"]) == {
        "different": 2,
        "most_common": "how do i",
        "share": 2 / 3,
    }
