"""The commands: each does its one thing, on a terminal or for a program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.pipeline.fakes import FAKES, RECIPE, read_log, with_function
from tutelage.cli.group import VERBS
from tutelage.core.methods import METHODS
from tutelage.core.recipe import parse_recipe
from tutelage.pipeline.graph import Stage, StageContext, stages_of
from tutelage.pipeline.project import Project


def test_run_then_nothing_to_do(folder: Path, command: Command) -> None:
    result = command("run")
    assert result.exit_code == 0
    assert "[2/4] sft: takes its time" in result.stderr
    assert result.stdout.startswith("ran data, sft, reward, ppo in ")
    assert command("run").stdout.startswith("nothing to do\n")


def test_run_up_to_a_stage_by_force_and_with_overrides(folder: Path, command: Command) -> None:
    assert command("run", "--to", "reward").stdout.startswith("ran data, reward in")
    assert command("run", "sft.epochs=2", "ppo.iterations=3").stdout.startswith("ran sft, ppo in")
    assert command("run", "--to", "reward", "--force", "reward").stdout.startswith("ran reward in")
    assert command("reward", "--force").stdout.startswith("ran reward in")


def test_one_stage_with_what_it_needs(folder: Path, command: Command) -> None:
    result = command("reward", "reward.epochs=2")
    assert result.stdout.startswith("ran data, reward in")
    shown = Path(result.stdout.splitlines()[-1].removeprefix("in "))
    assert shown == Project(folder).artifact("reward", "reward.epochs=2").folder


def test_works_from_a_folder_within_and_from_anywhere_by_name(
    folder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "evaluation")
    assert "next: data" in command("status").stdout
    monkeypatch.chdir(tmp_path)
    assert "next: data" in command("--project", str(folder), "status").stdout
    assert "next: data" in command("status", "--project", "project").stdout
    assert command("status").exit_code == 2


def test_run_for_programs_is_json_lines(folder: Path, command: Command) -> None:
    result = command("run", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.stderr == ""
    assert [e["stage"] for e in events if e["event"] == "started"] == ["data", "sft", "reward", "ppo"]
    progress = [e for e in events if e["event"] == "progress" and e["stage"] == "sft"]
    assert [e["done"] for e in progress] == list(range(1, 13)) and progress[-1]["total"] == 12
    assert {"rate", "unit", "seconds_left"} <= set(progress[0])
    finished = next(e for e in events if e["event"] == "finished")
    assert finished["metrics"] == {"value": 1.5, "nothing": None}
    assert events[-1]["event"] == "done" and set(events[-1]["artifacts"]) == {"data", "sft", "reward", "ppo"}


def test_status_for_people_and_programs(folder: Path, command: Command) -> None:
    command("run", "--to", "data")
    told = json.loads(command("status", "--json").stdout)
    assert [s["state"] for s in told["stages"]] == ["done", "to do", "to do", "to do"]
    assert told["next"] == "sft"
    assert "next: sft; to the end about" in command("status", "--verify").stdout
    stale = json.loads(command("status", "--json", "data.referee_share=0.4").stdout)
    assert stale["stages"][0]["reason"] == "changed: data.referee_share 0.3 → 0.4"


def test_lineage_of_an_artifact(folder: Path, command: Command) -> None:
    command("run")
    ppo = Project(folder).artifact("ppo").id
    lines = command("status", "--lineage", ppo[:8]).stdout.splitlines()
    assert lines[0].startswith(f"ppo {ppo}")
    assert any(line.strip().startswith("rows.jsonl  sha256") for line in lines)


def test_the_run_ends_with_its_own_table_and_report(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluates(context: StageContext) -> dict[str, float]:
        share = 0.5 if context.recipe.evaluate.temperature == 0.7 else 0.6
        measure = {"value": share, "low": 0.4, "high": 0.7, "n": 100}
        summary = {name: {"honesty": measure} for name in ("base", "sft", "ppo")}
        (context.folder / "summary.json").write_text(json.dumps(summary))
        return {}

    def reports(context: StageContext) -> dict[str, float]:
        (context.project / "report").mkdir(exist_ok=True)
        (context.project / "report" / "index.html").write_text(f"<html>{context.artifact_id}")
        shutil.copytree(context.project / "report", context.folder / "report")
        return {}

    more = (
        Stage("evaluate", ("ppo",), ("evaluate",), "measures", function=evaluates),
        Stage("report", ("evaluate",), ("report",), "writes", function=reports),
    )
    monkeypatch.setitem(Project.__init__.__kwdefaults__, "stages", (*FAKES, *more))
    page = folder / "report" / "index.html"
    lines = command("run").stdout.splitlines()
    first = page.read_text()
    assert "honest answers  ↑  50% [40, 70]  50% [40, 70]  50% [40, 70]" in lines
    assert lines[-1] == f"report: {page}"
    assert command("status").stdout.splitlines()[-1] == lines[-1]
    assert "60% [40, 70]" in command("evaluate", "evaluate.temperature=0.9").stdout
    assert "60% [40, 70]" in command("run", "evaluate.temperature=0.9").stdout
    assert page.read_text() != first
    lines = command("run").stdout.splitlines()
    assert "nothing to do" in lines and "50% [40, 70]" in "\n".join(lines)
    assert page.read_text() == first  # the page is again the one of this recipe
    page.unlink()
    command("report")
    assert page.read_text() == first


def test_init_says_what_is_next(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    result = command("init", "bot", "--recipe", "mine.yaml")
    assert result.stdout.splitlines()[-1] == "next: cd bot && tutelage run"
    assert (tmp_path / "bot" / "tutelage.yaml").read_text() == RECIPE


def test_recipes(tmp_path: Path, command: Command) -> None:
    assert "quickstart: " in command("recipes", "list").stdout
    assert command("recipes", "show", "quickstart").stdout.startswith("# Quickstart")
    assert "is a good recipe" in command("recipes", "check", "quickstart").stdout
    (tmp_path / "bad.yaml").write_text("name: x\nsft: {epoch: 3}\n")
    result = command("recipes", "check", str(tmp_path / "bad.yaml"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unknown setting 'sft.epoch': did you mean 'epochs'?" in result.stderr


def test_data_and_models(folder: Path, command: Command) -> None:
    assert "pack:starter: " in command("data", "list").stdout
    told = json.loads(command("data", "check", "rows.jsonl", "--json").stdout)
    assert told["sections"]["demonstrations"]["rows"] == 3
    assert "demonstrations:" in command("data", "check").stdout
    assert command("models", "list").stdout.splitlines()[2].startswith("embedded")
    assert "SmolLM2" in command("models", "show", "embedded").stdout


def test_every_stage_and_every_verb_has_a_command_with_help(command: Command) -> None:
    every = parse_recipe({"name": "r", "policies": list(METHODS)})
    assert {stage.name for stage in stages_of(every)} - {"data"} < set(VERBS)
    for verb in VERBS:
        result = command(verb, "--help")
        assert result.exit_code == 0 and result.stdout.startswith(f"Usage: tutelage {verb}")


def test_wrong_commands_are_usage_errors(command: Command) -> None:
    assert command("fly").exit_code == 2
    assert command("run", "--fly").exit_code == 2


def test_ctrl_c_says_how_to_go_on(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: object) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setitem(Project.__init__.__kwdefaults__, "stages", with_function("sft", stopped))
    result = command("run")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "stopped; `tutelage run` goes on from here"
    assert read_log(folder) == ["data ran"]


def test_chat_answers_once_and_line_by_line(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tutelage.pipeline.chat as chat

    class Echo:
        def __init__(self, name: str) -> None:
            self.name = self.what = name
            self.heard: list[str] = []

        def reply(self, text: str) -> str:
            self.heard.append(text)
            return f"{self.name} heard {len(self.heard)}: {text}"

        def forget(self) -> None:
            self.heard.clear()

    monkeypatch.setattr(chat, "open_speakers", lambda _project, names, **_: [Echo(n) for n in names])
    assert command("chat", "hello").stdout == "ppo heard 1: hello\n"
    recipe = folder / "tutelage.yaml"
    recipe.write_text(recipe.read_text() + "policies: [ppo, dpo]\n")
    assert command("chat", "hello").stdout == "dpo heard 1: hello\n"  # the last named is the final model
    result = command("chat", "--stage", "sft", "--beside", "base", stdin="one\n\n/new\ntwo\n/quit\nthree\n")
    assert result.stdout.splitlines() == [
        "sft> sft heard 1: one",
        "base> base heard 1: one",
        "sft> sft heard 1: two",
        "base> base heard 1: two",
    ]
