"""Links lead somewhere, counts on data cards are those of the files, and no page knows a machine."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKS = ROOT / "src" / "tutelage" / "packs"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *PACKS.glob("*/CARD.md")])
MADE_LATER = {"docs/images/report.png"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(\s*([^)#\s]+)[^)]*\)", text):
        if "://" in target or target in MADE_LATER:
            continue
        assert (page.parent / target).exists(), target


@every_page
def test_no_page_knows_a_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|mnt|Users)/", page.read_text())


@pytest.mark.parametrize("pack", sorted(p.name for p in PACKS.iterdir() if p.is_dir() and p.name[0] != "_"))
def test_a_card_counts_what_is_there(pack: str) -> None:
    card = (PACKS / pack / "CARD.md").read_text()
    counted = {name: int(rows) for name, rows in re.findall(r"^\| (\w+\.jsonl) \| (\d+)", card, re.MULTILINE)}
    files = {p.name: sum(1 for line in p.open() if line.strip()) for p in (PACKS / pack).glob("*.jsonl")}
    assert counted == files
    row = next(line for line in card.splitlines() if line.startswith("| demonstrations.jsonl"))
    stated = {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)[,;)]", row)}
    with (PACKS / pack / "demonstrations.jsonl").open() as lines:
        found = Counter(json.loads(line)["category"] for line in lines)
    assert {kind: stated[kind] for kind in found} == found


def test_both_cards_say_the_same_of_their_authors() -> None:
    said = {re.search(r"The texts are synthetic:.*", p.read_text())[0] for p in PACKS.glob("*/CARD.md")}  # type: ignore[index]
    assert len(said) == 1


def test_the_starter_card_states_its_length_balance_rightly() -> None:
    rows = [json.loads(line) for line in (PACKS / "starter" / "rankings.jsonl").open()]
    longest = shortest = longer = unequal = ties = 0
    for row in rows:
        words = [len(text.split()) for text in row["responses"]]
        ties += any(len(group) > 1 for group in row["ranking"])
        if len(row["ranking"][0]) == 1:
            best = words[row["ranking"][0][0]]
            longest += best == max(words)
            shortest += best == min(words)
        place = {index: number for number, group in enumerate(row["ranking"]) for index in group}
        for a in place:
            for b in place:
                if place[a] < place[b] and words[a] != words[b]:
                    unequal += 1
                    longer += words[a] > words[b]
    card = (PACKS / "starter" / "CARD.md").read_text()
    assert f"in {longest} of {len(rows)} rows and the shortest in {shortest}" in card
    assert f"in {longer / unequal:.0%} ({longer} of {unequal})" in card
    assert f"{ties} of the {len(rows)} rankings hold a tie" in card


def test_the_readme_has_a_place_for_the_claims() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- claims -->") == text.count("<!-- /claims -->") == 1
    assert text.index("<!-- claims -->") < text.index("<!-- /claims -->")
