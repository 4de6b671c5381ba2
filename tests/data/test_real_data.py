"""The real data sets of the folder TUTELAGE_DATA: every row is parsed, or is set aside with its reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from tutelage.core.settings import Source
from tutelage.data.checks import check_data
from tutelage.data.load import load_comparisons, load_demonstrations, load_prompts
from tutelage.data.splits import split_comparisons

FOLDER = os.environ.get("TUTELAGE_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="set TUTELAGE_DATA to the folder of real data sets")
PREFERENCES = (
    "autoj_pairwise_human",
    "hh_harmless_base",
    "llmbar_human",
    "oasst_ranked_human",
    "pandalm_human",
)
DEMONSTRATIONS = (
    "alpaca_5k",
    "dolly_subset_human",
    "lima_1k_curated",
    "oasst_dialogues_human",
    "self_instruct_human",
)


def path(name: str) -> Path:
    return Path(FOLDER or "") / f"{name}.jsonl.gz"


def raw(name: str) -> list[dict]:
    with gzip.open(path(name), "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize("name", PREFERENCES)
def test_preferences_are_read_whole(name: str) -> None:
    found = load_comparisons([Source(source=str(path(f"preferences/{name}")))])
    expected = raw(f"preferences/{name}")
    # MANIFEST: exact duplicates were removed; what is left apart is a pair of the same text, nothing else
    assert {row.reason for row in found.set_aside} <= {"chosen and rejected are the same text"}
    assert len(found.records) + len(found.set_aside) == len(expected) and len(found.set_aside) <= 2
    first, row = found.records[0], expected[0]
    text = {r.id: r.text for r in first.responses}
    assert [text[g[0]] for g in first.judgement.ranking] == [
        row[k][-1]["content"].strip() for k in ("chosen", "rejected")
    ]


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_demonstrations_are_read_whole(name: str) -> None:
    found = load_demonstrations([Source(source=str(path(f"demonstrations/{name}")))])
    assert found.set_aside == ()
    assert [d.response for d in found.records] == [
        row["messages"][-1]["content"].strip() for row in raw(f"demonstrations/{name}")
    ]


def test_prompts_are_read_whole() -> None:
    found = load_prompts([Source(source=str(path("ppo_prompts/prompts")))])
    assert found.set_aside == () and len(found.records) == len(raw("ppo_prompts/prompts"))


def test_hh_told_as_transcripts_is_the_same_data(tmp_path: Path) -> None:
    """The chat lists written as `Human:` and `Assistant:` turns, as Anthropic publishes them."""
    names = {"user": "Human", "assistant": "Assistant"}

    def transcript(messages: list[dict[str, str]]) -> str:
        return "".join(f"\n\n{names[m['role']]}: {m['content']}" for m in messages)

    rows = raw("preferences/hh_harmless_base")[:400]
    told = [{k: transcript(row["prompt"] + row[k]) for k in ("chosen", "rejected")} for row in rows]
    file = tmp_path / "hh_harmless_base.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    chats = load_comparisons([Source(source=str(path("preferences/hh_harmless_base")), limit=400)])
    transcripts = load_comparisons([Source(source=str(file), format="hh")])
    assert transcripts.set_aside == ()
    assert [one.judgement.ranking for one in transcripts.records] == [
        one.judgement.ranking for one in chats.records
    ]


def test_the_length_bias_of_known_sets_is_measured() -> None:
    """MANIFEST: the chosen answer is the longer one in 75% of alpaca_eval and in 45% of HH."""
    for name, share, warned in (("alpaca_eval_gpt4_judged", 0.75, True), ("hh_harmless_base", 0.45, False)):
        rows = load_comparisons([Source(source=str(path(f"preferences/{name}")), limit=1000)]).records
        report = check_data(judged=split_comparisons(rows, 0.3, 0.2))
        assert report.sections["comparisons"]["longer_chosen"] == pytest.approx(share, abs=0.06)
        assert any("length bias" in note.text for note in report.notes) is warned


def test_models_that_judged_are_not_called_people() -> None:
    rows = load_comparisons(
        [Source(source=str(path("preferences/alpaca_eval_gpt4_judged")), limit=50)]
    ).records
    assert {one.judgement.kind for one in rows} == {"ai"}
