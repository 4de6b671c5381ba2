"""Status: the right word for each stage, why it is stale, and estimates that say where they are from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.fakes import FAKES, make_project
from tutelage.core.recipe import parse_recipe
from tutelage.pipeline import cost, sources
from tutelage.pipeline.graph import stages_of
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent
from tutelage.pipeline.sources import CACHE, find_sources


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(make_project(tmp_path / "project"), stages=FAKES)


def states(project: Project, *overrides: str, verify: bool = False) -> list[str]:
    return [s.state for s in project.status(*overrides, verify=verify).stages]


def test_from_nothing_to_done(project: Project) -> None:
    assert states(project) == ["to do"] * 4
    project.run(to="sft", reporter=Silent())
    assert states(project) == ["done", "done", "to do", "to do"]
    project.run(reporter=Silent())
    status = project.status()
    assert status.next is None and status.seconds_left == 0
    assert "everything is done" in status.lines()


def test_stale_says_what_changed(project: Project) -> None:
    project.run(reporter=Silent())
    status = project.status("sft.epochs=3", "sft.batch=4")
    by_name = {s.stage: s for s in status.stages}
    assert [s.state for s in status.stages] == ["done", "stale", "done", "stale"]
    assert by_name["sft"].reason == "changed: sft.epochs 1 → 3, sft.batch 16 → 4"
    assert by_name["ppo"].reason == "changed: sft is another"
    (project.path / "rows.jsonl").write_text("{}\n")
    assert project.status().stages[0].reason == "changed: rows.jsonl is another"


def test_estimates_learn_from_this_project_but_not_from_another_model(project: Project) -> None:
    project.run(reporter=Silent())
    same = {s.stage: s.estimate for s in project.status("sft.epochs=3").stages}
    assert same["sft"] is not None and same["sft"].basis == "an earlier run here"
    other = {s.stage: s.estimate for s in project.status("model.base=x/8B").stages}
    assert other["sft"] is not None and "default" in other["sft"].basis


def test_verify_finds_what_a_look_at_sizes_cannot(project: Project) -> None:
    done = project.run(reporter=Silent()).artifacts["reward"]
    text = (done.folder / "output.txt").read_text()
    (done.folder / "output.txt").write_text(text.replace("data", "atad"))
    assert states(project) == ["done"] * 4
    assert states(project, verify=True) == ["done", "done", "damaged", "done"]
    (done.folder / "output.txt").write_text("short")
    status = project.status()
    assert status.stages[2].state == "damaged" and "has 5 bytes" in status.stages[2].reason


def test_missing_data_is_a_problem_not_a_failure(project: Project) -> None:
    (project.path / "rows.jsonl").unlink()
    status = project.status()
    assert len(status.problems) == 1 and "rows.jsonl" in status.problems[0]
    assert any(line.startswith("problem: data.demonstrations") for line in status.lines())


def test_json_and_lines_tell_the_same(project: Project) -> None:
    project.run(to="data", reporter=Silent())
    status = project.status()
    told = json.loads(json.dumps(status.to_dict()))
    assert told["next"] == "sft" and told["running"] is None and told["report"] is None
    assert [s["state"] for s in told["stages"]] == ["done", "to do", "to do", "to do"]
    assert told["stages"][0]["metrics"] == {"value": 1.5, "nothing": None}
    assert all(s["estimate"]["basis"] for s in told["stages"][1:])
    text = "\n".join(status.lines())
    assert all(s["stage"] in text and s["id"][:8] in text for s in told["stages"])


def test_looking_needs_no_right_to_write(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(sources, "replace_text", refused)
    assert states(project) == ["to do"] * 4
    assert not (project.path / CACHE).exists()


def test_file_hashes_are_remembered_until_a_file_changes(project: Project) -> None:
    data = project.recipe().data
    first = find_sources(data, project.path).hashes()
    cache = json.loads((project.path / CACHE).read_text())
    for entry in cache.values():
        entry["sha256"] = "remembered"
    (project.path / CACHE).write_text(json.dumps(cache))
    assert set(find_sources(data, project.path).hashes().values()) == {"remembered"}
    (project.path / "rows.jsonl").write_text("changed\n")
    assert find_sources(data, project.path).hashes()["rows.jsonl"] not in ("remembered", first["rows.jsonl"])
    (project.path / CACHE).write_text("[not what it was")
    assert len(find_sources(data, project.path).hashes()) == 2


RECIPE = parse_recipe({"name": "r", "ppo": {"iterations": 10}, "model": {"device": "cpu"}})
DATA = cost.Amounts(
    {"demonstrations": 100, "comparisons": 50, "prompts": 200, "evaluation": 90},
    {"demonstrations": 80.0, "comparisons": 80.0, "prompts": 40.0},
)


def test_an_earlier_run_of_the_same_stage_counts_most() -> None:
    # Ten iterations took 100 s, so twenty take 200 s, whatever other stages did.
    past = [
        cost.Past("sft", 1.0, 1e9),
        cost.Past("ppo", 100.0, cost.work("ppo", RECIPE, DATA)),
    ]
    twice = parse_recipe({"name": "r", "ppo": {"iterations": 20}})
    guess = cost.estimate("ppo", twice, DATA, past)
    assert guess.seconds == pytest.approx(200.0) and guess.basis == "an earlier run here"


def test_else_the_speed_of_other_stages_here() -> None:
    # 1,000 units in 100 s is 10 a second.
    guess = cost.estimate("ppo", RECIPE, DATA, [cost.Past("sft", 100.0, 1000.0)])
    assert guess.seconds == pytest.approx(cost.LOAD_SECONDS + cost.work("ppo", RECIPE, DATA) / 10)
    assert guess.basis == "the speed of the stages run here"


def test_else_a_default_that_says_so() -> None:
    guess = cost.estimate("ppo", RECIPE, DATA, [])
    assert "default" in guess.basis and guess.seconds > cost.LOAD_SECONDS


def test_work_by_hand() -> None:
    recipe = parse_recipe({"name": "r", "sft": {"epochs": 3}, "tokens": {"max_response": 64}})
    # 3 epochs of 100 demonstrations of 80 tokens, a trained token counting 2.5
    assert cost.work("sft", recipe, DATA) == 3 * 100 * 80 * 2.5
    # 32 prompts, 4 responses each: 48 tokens decoded (three quarters of 64) at 2, and 40 + 30 of the prompt
    assert cost.work("sample", recipe, DATA) == 32 * 4 * (48 * 2 + 70)
    assert cost.work("report", recipe, DATA) == 0


def test_more_work_never_costs_less() -> None:
    bigger = parse_recipe({
        "name": "r", "sft": {"epochs": 9}, "sample": {"num_prompts": 90}, "reward": {"epochs": 9},
        "referee": {"epochs": 9}, "ppo": {"iterations": 90}, "judge": {"measure_prompts": 90},
    })  # fmt: skip
    for stage in stages_of(RECIPE):
        assert cost.work(stage.name, bigger, DATA) >= cost.work(stage.name, RECIPE, DATA)


def test_the_work_of_other_methods_by_hand() -> None:
    sizes = {"iterations": 10, "rollouts": 8, "minibatch": 8, "epochs": 1, "responses_per_prompt": 4}
    policies = ["ppo", "rloo", "grpo", "dpo", "kto"]
    data = {"referee_share": 0.3, "measure_share": 0.2}
    recipe = parse_recipe({
        "name": "r", "policies": policies, "rloo": sizes, "grpo": sizes, "dpo": {"epochs": 3},
        "tokens": {"max_response": 64}, "data": data,
    })  # fmt: skip
    # prompts of 70 tokens, responses of 48; 10 iterations of 8: decoded at 2, looked at 3 times, trained once
    assert cost.work("rloo", recipe, DATA) == 80 * (48 * 2 + 118 * (3 + 2.5))
    assert cost.work("grpo", recipe, DATA) == cost.work("rloo", recipe, DATA)
    # half of the comparisons, 4 responses each, 3 epochs at 2.5, and the reference beside them
    ranked = 0.5 * DATA.rows["comparisons"] * 4 * 118
    assert cost.work("dpo", recipe, DATA) == pytest.approx((3 * 2.5 + 1.5) * ranked)
    # seven models answer instead of three
    alone = cost.work("evaluate", parse_recipe({"name": "r", "tokens": {"max_response": 64}}), DATA)
    assert cost.work("evaluate", recipe, DATA) == pytest.approx(alone * 7 / 3)
    assert all(cost.disk_needed(name, recipe) == cost.disk_needed("ppo", recipe) for name in policies)


@pytest.mark.parametrize(
    ("base", "count"),
    [
        ("embedded", 134_515_008),
        ("Qwen/Qwen3-0.6B", 600_000_000),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_000_000_000),
        ("HuggingFaceTB/SmolLM2-360M", 360_000_000),
        ("someone/unsized", 1_000_000_000),
    ],
)
def test_parameters_by_name(base: str, count: int) -> None:
    assert cost.parameters(parse_recipe({"name": "r", "model": {"base": base}})) == count


def test_parameters_of_a_folder_from_its_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 4000)
    (tmp_path / "config.json").write_text('{"dtype": "float32"}')
    assert cost.parameters(parse_recipe({"name": "r", "model": {"base": str(tmp_path)}})) == 1000


def test_disk_for_an_adapter_is_far_less_than_for_the_whole_model() -> None:
    def need(tune: str, base: str) -> int:
        return cost.disk_needed("ppo", parse_recipe({"name": "r", "model": {"base": base, "tune": tune}}))

    # Full 8B: weights and two moments of two optimisers' worth is hundreds of GB; rank 16 is about 2.5 GB.
    assert need("full", "x/8B") > 200e9
    assert 1e9 < need("lora", "x/8B") < 6e9
    assert need("lora", "embedded") < 1e9
