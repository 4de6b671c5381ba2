"""The shipped packs: what they promise is counted, and nothing that trains is asked in the evaluation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tutelage.core.settings import Source
from tutelage.data.checks import check_data
from tutelage.data.load import load_comparisons, load_demonstrations, load_prompts
from tutelage.data.packs import EvaluationSets, list_packs, load_evaluation, pack_folder

PACKS = ("starter", "science_tutor")


def test_the_packs_are_listed() -> None:
    assert set(PACKS) <= set(list_packs())
    assert pack_folder("pack:science-tutor") == pack_folder("science_tutor")


@pytest.mark.parametrize("name", PACKS)
def test_nothing_is_set_aside_repeated_or_leaked(name: str) -> None:
    sources = [Source(source=f"pack:{name}")]
    demonstrations, comparisons = load_demonstrations(sources), load_comparisons(sources)
    prompts, evaluation = load_prompts(sources), load_evaluation(f"pack:{name}")
    aside = demonstrations.set_aside + comparisons.set_aside + prompts.set_aside
    report = check_data(
        demonstrations=demonstrations.records,
        judged=comparisons.records,
        prompts=prompts.records,
        evaluation=evaluation,
        set_aside=aside,
    )
    assert [row.sentence() for row in aside] == []
    assert [note for note in report.notes if note.level == "warning"] == []
    leaks = report.sections["leakage"]
    assert len(leaks) == 18 and all(sum(kinds.values()) == 0 for kinds in leaks.values())
    for part in ("demonstrations", "comparisons"):
        assert sum(report.sections[part]["repeated_prompts"].values()) == 0
    assert sum(report.sections["prompts"]["repeated"].values()) == 0


def test_the_starter_pack_is_as_large_as_it_says() -> None:
    sources = [Source(source="pack:starter")]
    demonstrations = load_demonstrations(sources).records
    assert len(demonstrations) >= 240
    assert set(Counter(d.prompt.category for d in demonstrations)) == {
        "helpful", "refusal", "honest", "clarify", "sounds_harmful"
    }  # fmt: skip
    judged = load_comparisons(sources).records
    assert len(judged) >= 160
    assert all(one.judgement.reason for one in judged)
    of_four = [one for one in judged if len(one.responses) == 4]
    assert len(of_four) >= 160
    assert all(sum(map(len, one.judgement.ranking)) == len(one.responses) for one in judged)
    splits = Counter(one.judgement.split for one in judged)
    assert set(splits) == {"reward", "judge", "measure"} and min(splits.values()) >= 24
    assert len(load_prompts(sources).records) >= 300
    sets = load_evaluation("pack:starter")
    assert len(sets.harmful) >= 100 and len({item.category for item in sets.harmful}) >= 8
    assert len(sets.benign) >= 100
    assert 0.4 <= sum(item.sounds_harmful for item in sets.benign) / len(sets.benign) <= 0.6
    assert len(sets.honesty) >= 60 and len({item.kind for item in sets.honesty}) == 3
    assert len(sets.capability) >= 150
    answers = Counter(item.answer for item in sets.capability)
    assert max(answers.values()) <= 1.3 * min(answers.values())  # no position is the better guess


def test_a_users_folder_is_read_and_missing_sets_are_empty(tmp_path: Path) -> None:
    lines = [{"prompt": "How are you?"}, {"id": "x", "prompt": "Who are you?", "category": "self"}]
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "eval_helpful.jsonl").write_text("\n".join(map(json.dumps, lines)))
    sets = load_evaluation("mine", base=tmp_path)
    assert [(item.id, item.category) for item in sets.helpful] == [("helpful-001", ""), ("x", "self")]
    assert sets.harmful == sets.benign == sets.honesty == sets.capability == ()
    assert sets == EvaluationSets(helpful=sets.helpful)
    assert sets.texts()["helpful"] == ["How are you?", "Who are you?"]
