"""The development set keeps clear of the starter pack, and its rates are what the answers say."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.development import __main__ as command
from benchmarks.development.measure import Answer, development_items, examples, judge, rates, table
from tests.pipeline.fakes import make_project, with_function
from tutelage.data.overlap import overlaps_between, overlaps_within
from tutelage.data.packs import load_evaluation, pack_folder
from tutelage.evals.task import EvaluationItem, EvaluationRow
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent

ITEMS = development_items()
STARTER = sorted(pack_folder("starter").glob("*.jsonl"))


def asked_in(path: Path) -> list[str]:
    """Every question and user message of a file of a pack."""
    texts: list[str] = []
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        given = row.get("messages") or row.get("question") or row["prompt"]
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else given
        texts += [turn["content"] for turn in turns if turn["role"] == "user"]
    return texts


def test_there_are_as_many_of_each_kind_as_it_says() -> None:
    assert Counter(item.set for item in ITEMS) == {
        "harmful": 80,
        "sounds_harmful": 80,
        "plain": 80,
        "honest": 40,
    }
    evaluation = load_evaluation("pack:starter")
    of_kind = {kind: {i.category for i in ITEMS if i.set == kind} for kind in ("harmful", "honest")}
    assert of_kind["harmful"] == {item.category for item in evaluation.harmful}
    assert of_kind["honest"] == {item.kind for item in evaluation.honesty}
    assert all(item.prompt == item.prompt.strip() != "" and item.category for item in ITEMS)
    assert overlaps_within([item.prompt for item in ITEMS]) == []


@pytest.mark.parametrize("path", STARTER, ids=lambda path: path.stem)
def test_no_prompt_of_the_pack_is_in_it(path: Path) -> None:
    theirs = asked_in(path)
    planted = overlaps_between([f"{theirs[0]}!"], theirs)
    assert planted  # what is in the pack would be found
    ours = [item.prompt for item in ITEMS]
    found = [(o.kind, ours[o.left], theirs[o.right]) for o in overlaps_between(ours, theirs)]
    assert found == []


def item(kind: str, place: int, category: str = "any") -> EvaluationItem:
    return EvaluationItem(kind, f"{kind}-{place}", f"What about {place}?", category)


def answers(verdicts: str, kind: str = "harmful") -> list[Answer]:
    """One answer a letter: r refusal, c compliance, e empty."""
    names = {"r": "refusal", "c": "compliance", "e": "empty"}
    return [Answer(item(kind, n), "Text.", 10 + n, names[v], None) for n, v in enumerate(verdicts)]


def test_rates_are_averaged_over_draws_and_their_intervals_count_prompts() -> None:
    (found,) = rates([answers("rrrc"), answers("rcce")])
    # 4 of 8 refused; for p = 1/2 Wilson's half width is z / (2 sqrt(n + z^2)), with n = 4 prompts
    z = 1.959964
    half = z / (2 * math.sqrt(4 + z * z))
    refusal = found.refusal
    assert (refusal.value, refusal.n, found.draws) == (0.5, 4, 2)
    assert (refusal.low, refusal.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert found.compliance.value == 3 / 8  # one of the eight is empty
    assert found.honesty is None
    assert found.mean_tokens == 11.5  # (10 + 11 + 12 + 13) / 4, in both draws


def test_kinds_do_not_mix() -> None:
    found = rates([answers("rr", "harmful") + answers("cccr", "plain")])
    assert [(r.kind, r.refusal.value, r.refusal.n) for r in found] == [
        ("harmful", 1.0, 2),
        ("plain", 0.25, 4),
    ]
    assert "plain" in table(found) and "0.250 [0.05, 0.70]" in table(found)


@pytest.mark.parametrize(
    ("kind", "category", "text", "refusal", "honest"),
    [
        ("harmful", "violence", "I can't help with that, because someone could be hurt.", "refusal", None),
        ("plain", "garden", "Cut it back by a third in late spring.", "compliance", None),
        ("plain", "garden", "", "empty", None),
        ("honest", "beyond_knowledge", "I have no way to see that from here.", None, True),
        ("honest", "beyond_knowledge", "It is about twenty degrees.", "compliance", False),
        ("honest", "false_premise", "That is a common myth.", None, True),
        (
            "honest",
            "unanswerable",
            "That is a common myth.",
            None,
            False,
        ),  # corrections count for premises only
    ],
)
def test_each_kind_has_its_judges(
    kind: str, category: str, text: str, refusal: str | None, honest: bool | None
) -> None:
    asked = item(kind, 1, category)
    said = judge(asked, EvaluationRow("sft", kind, asked.id, asked.prompt, text, 5, True))
    assert said.honest is honest
    assert refusal is None or said.refusal == refusal


def test_examples_are_spread_over_the_prompts() -> None:
    shown = examples(answers("rrrrcccc") + answers("c", "honest"), 2)
    assert [place for place in range(8) if f"What about {place}?" in shown.partition("honest")[0]] == [0, 4]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A project on the tiny model whose SFT adapter is far from the base."""
    import torch

    from tutelage.models.roles import Policy, open_base, save_policy

    def trains(context: StageContext) -> dict[str, Any]:
        trunk = open_base(context.recipe.model, context.recipe.tokens)
        generator = torch.Generator().manual_seed(1)
        for parameter in trunk.add_adapter("sft", context.recipe.model.lora, context.seed):
            parameter.data.normal_(0.0, 0.5, generator=generator)
        save_policy(Policy(trunk, "sft"), context.folder / "model")
        return {}

    folder = make_project(tmp_path_factory.mktemp("development") / "p")
    with (folder / "tutelage.yaml").open("a") as recipe:
        recipe.write(f"model: {{base: {tiny_folder}, device: cpu, dtype: float32}}\n")
        recipe.write("tokens: {max_prompt: 64, max_response: 12}\n")
    Project(folder, stages=with_function("sft", trains)).sft(reporter=Silent())
    return folder


@pytest.fixture
def said(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on every tenth prompt; its exit code and what it printed."""
    monkeypatch.setattr(command, "development_items", lambda: ITEMS[::10])

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command.main([str(project), *arguments])
        return (code, *capsys.readouterr())

    return run


def test_the_command_measures_the_model_that_was_asked_for(said: Any) -> None:
    code, base, _ = said("base", "seed=3")
    assert code == 0 and "temperature 0.7, seed 3" in base
    assert [line.split()[:2] for line in base.splitlines()[2:]] == [
        ["harmful", "8"],
        ["sounds_harmful", "8"],
        ["plain", "8"],
        ["honest", "4"],
    ]


def test_base_and_stage_answer_for_themselves(said: Any) -> None:
    base, sft, again = (said(stage, "--answers", "2", "seed=3")[1] for stage in ("base", "sft", "base"))
    assert base == again
    assert base.count("\n  [") == sft.count("\n  [") == 8
    by_base, by_sft = (
        [line for line in out.splitlines() if line.startswith("      ")] for out in (base, sft)
    )
    assert all(a != b for a, b in zip(by_base, by_sft))


def test_draws_have_seeds_of_their_own_and_are_averaged(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    by_seed = {3: answers("rrrr"), 4: answers("cccc"), 5: answers("rrcc")}
    monkeypatch.setattr(command, "draw", lambda sampler, contract, items, how: by_seed[how.seed])
    _, out, _ = said("base", "--draws", "3", "seed=3")
    assert "seeds 3 to 5" in out
    assert out.splitlines()[2].split()[:3] == ["harmful", "4", "0.500"]  # (1 + 0 + 1/2) / 3


def test_overrides_come_over_what_the_artifact_was_made_with(said: Any) -> None:
    _, out, _ = said("sft", "tokens.max_response=2", "evaluate.temperature=0")
    lengths = [float(line.split()[-1]) for line in out.splitlines()[2:]]
    assert "temperature 0, " in out and max(lengths) <= 2


def test_what_cannot_be_measured_is_said(said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said("ppo")
    assert code == 2 and "ppo has not finished" in err
    code, _, err = said("base", "nonsense=1")
    assert code == 2 and "nonsense" in err
    with pytest.raises(SystemExit):
        said("reward")
    assert "invalid choice: 'reward'" in capsys.readouterr().err
