"""Every example row in docs/how-to/your-own-model-and-data.md is read as what it says it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tutelage.core.recipe import recipe_from
from tutelage.data.formats import parse_comparisons, parse_demonstrations, parse_prompts
from tutelage.data.judged import Origin
from tutelage.data.packs import load_evaluation
from tutelage.data.rows import Row

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "your-own-model-and-data.md").read_text()
EXAMPLES = re.findall(r"```json (\w+)\n(.*?)\n```", PAGE, re.DOTALL)


def test_every_kind_of_data_has_an_example() -> None:
    kinds = {kind for kind, _ in EXAMPLES}
    sets = {f"eval_{name}" for name in ("harmful", "benign", "helpful", "honesty", "capability")}
    assert kinds == {"demonstrations", "comparisons", "prompts"} | sets


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[f"{k}-{n}" for n, (k, _) in enumerate(EXAMPLES)])
def test_an_example_row_is_valid(kind: str, text: str, tmp_path: Path) -> None:
    row = Row(json.loads(text), "page", 1)
    if kind == "demonstrations":
        parsed = parse_demonstrations([row])
        assert not parsed.set_aside and parsed.records[0].response
    elif kind == "comparisons":
        found = parse_comparisons([row], origin=Origin("page"))
        assert not found.set_aside
        # in every example the answer that explains is the best one
        judged = found.records[0]
        best = {r.text for r in judged.responses if r.id in judged.judgement.ranking[0]}
        assert best == {"Water that falls from clouds."}
    elif kind == "prompts":
        asked = parse_prompts([row])
        assert not asked.set_aside and asked.records[0].messages[-1].role == "user"
    else:
        (tmp_path / f"{kind}.jsonl").write_text(text + "\n")
        sets = load_evaluation(str(tmp_path))
        assert len(getattr(sets, kind.removeprefix("eval_"))) == 1


def test_the_recipe_fragments_are_valid(tmp_path: Path) -> None:
    fragments = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(fragments) == 2
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: page\n" + "".join(fragments))
    assert recipe_from(recipe).data.comparisons[1].format == "hh"
