"""Chat: the model of the stage that was asked for speaks, remembers, and two do not mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.fakes import FAKES, make_project, with_function
from tutelage.core.errors import StoreError
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.project import Project
from tutelage.pipeline.reporters import Silent


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Project:
    import torch

    from tutelage.models.roles import Policy, open_base, save_policy

    def trains(context: StageContext) -> dict[str, Any]:
        trunk = open_base(context.recipe.model, context.recipe.tokens)
        generator = torch.Generator().manual_seed(1)
        for parameter in trunk.add_adapter("sft", context.recipe.model.lora, context.seed):
            parameter.data.normal_(0.0, 0.5, generator=generator)  # far from the base
        save_policy(Policy(trunk, "sft"), context.folder / "model")
        (context.folder / "output.txt").write_text("")
        return {}

    torch.set_num_threads(1)
    folder = make_project(tmp_path_factory.mktemp("chat") / "p")
    text = (folder / "tutelage.yaml").read_text() + (
        f"model: {{base: {tiny_folder}, device: cpu, dtype: float32}}\n"
        "tokens: {max_prompt: 64, max_response: 12}\n"
    )
    (folder / "tutelage.yaml").write_text(text)
    made = Project(folder, stages=with_function("sft", trains))
    made.sft(reporter=Silent())
    return made


def test_base_and_sft_share_a_trunk_and_do_not_mix(project: Project) -> None:
    from tutelage.pipeline.chat import open_speakers

    base, sft = open_speakers(project, ["base", "sft"], temperature=0.0)
    assert base.policy.trunk is sft.policy.trunk
    assert (base.policy.adapter, sft.policy.adapter) == (None, "sft")
    together = (base.reply("hello"), sft.reply("hello"))
    (alone,) = open_speakers(project, ["base"], temperature=0.0)
    (trained,) = open_speakers(project, ["sft"], temperature=0.0)
    assert together == (alone.reply("hello"), trained.reply("hello"))
    assert together[0] != together[1]


def test_a_speaker_remembers_until_told_to_forget(project: Project) -> None:
    from tutelage.pipeline.chat import open_speakers

    (speaker,) = open_speakers(project, ["sft"], temperature=0.0)
    first = speaker.reply("hello")
    speaker.reply("and you?")
    assert [m.role for m in speaker.history] == ["user", "assistant", "user", "assistant"]
    speaker.forget()
    assert speaker.reply("hello") == first


def test_who_cannot_speak(project: Project) -> None:
    from tutelage.pipeline.chat import open_speakers

    with pytest.raises(StoreError, match="nobody called 'judge'"):
        open_speakers(project, ["judge"])
    with pytest.raises(StoreError, match="ppo is not done"):
        open_speakers(project, ["ppo"])
    with pytest.raises(StoreError, match="grpo is not done"):
        open_speakers(Project(project.path), ["grpo"])


def test_after_the_recipe_changed_the_newest_speaks_and_it_is_said(project: Project) -> None:
    from tutelage.pipeline.chat import open_speakers

    recipe = project.path / "tutelage.yaml"
    before = recipe.read_text()
    recipe.write_text(before.replace("epochs: 1", "epochs: 2"))
    said: list[str] = []
    try:
        (speaker,) = open_speakers(Project(project.path, stages=FAKES), ["sft"], say=said.append)
    finally:
        recipe.write_text(before)
    assert len(said) == 1 and "sft is not done for the recipe as it is now" in said[0]
    assert speaker.what == f"sft {project.artifact('sft').id[:8]}"
