"""The Project of the Python API: what the commands do, as methods.

project = Project.init("support-bot")
project.run()
print(project.summary()["ppo"]["harmful_compliance"])
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tutelage.core.errors import StoreError, TutelageError
from tutelage.pipeline.graph import Stage, needed_for, plan, stages_of

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.pipeline.reporters import Reporter
    from tutelage.pipeline.run import Outcome
    from tutelage.pipeline.status import Status
    from tutelage.store.artifacts import Finished
    from tutelage.store.lineage import Node

RECIPE = "tutelage.yaml"
SUMMARY = "summary.json"
_STARTING = ("constitution.yaml", "guidelines.md", "gitignore")


class Project:
    """A project folder. Settings are read anew at every call, so the recipe can be edited in between.

    Every method that runs or plans takes overrides, as `"ppo.iterations=4"` or as a mapping. `stages`
    stand in for the recipe's own.
    """

    def __init__(self, path: str | Path = ".", *, stages: Sequence[Stage] | None = None) -> None:
        self.path = find_project(Path(path))
        self._stages = stages

    @classmethod
    def init(
        cls, path: str | Path, recipe: str = "quickstart", *, stages: Sequence[Stage] | None = None
    ) -> Self:
        """Make a project folder with a recipe (a shipped one's name, or a file), and open it.

        Files that are there already are kept. Raises `StoreError` if it is a project already, and
        `RecipeError` if the recipe cannot be used.
        """
        from tutelage.core.recipe import recipe_from
        from tutelage.pipeline.recipes import find_recipe
        from tutelage.pipeline.run import explaining

        folder, source = Path(path).expanduser(), find_recipe(recipe)
        recipe_from(source)
        if (folder / RECIPE).exists():
            raise StoreError(f"{folder} is a project already: edit its {RECIPE}, or choose another name")
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file: choose another name for the project")
        with explaining("making the project", folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name in _STARTING:
                target = folder / name.replace("gitignore", ".gitignore")
                if not target.exists():
                    packed = resources.files("tutelage.pipeline") / "starting" / name
                    target.write_text(packed.read_text(encoding="utf-8"), encoding="utf-8")
            # The recipe last: it is what makes the folder a project.
            shutil.copyfile(source, folder / RECIPE)
        return cls(folder, stages=stages)

    def recipe(self, *overrides: str, **settings: Any) -> Recipe:
        """The project's recipe, checked. Raises `RecipeError`.

        `settings` are groups or single settings: `seed=3`, `ppo={"iterations": 4}`.
        """
        from tutelage.core.recipe import recipe_from

        return recipe_from(self.path / RECIPE, [*overrides, *_flat(settings)])

    def run(
        self,
        *overrides: str,
        to: str | None = None,
        force: Sequence[str] = (),
        reporter: Reporter | None = None,
        **settings: Any,
    ) -> Outcome:
        """Run what is not done, up to the stage `to` (all, for None). A plain line is printed for each step.

        `to` may be a method that the recipe's policies leave out: it is trained, and not evaluated.
        `force` names stages to run in any case. Raises `TutelageError` with one sentence.
        """
        from tutelage.pipeline.reporters import Plain
        from tutelage.pipeline.run import run_stages

        recipe = self.recipe(*overrides, **settings)
        hear = Plain() if reporter is None else reporter
        return run_stages(self.path, recipe, to=to, force=force, reporter=hear, stages=self._stages)

    def sft(self, *overrides: str, **settings: Any) -> Outcome:
        """Supervised fine-tuning, with what it needs first."""
        return self.run(*overrides, to="sft", **settings)

    def sample(self, *overrides: str, **settings: Any) -> Outcome:
        """Several responses to each prompt, with what it needs first."""
        return self.run(*overrides, to="sample", **settings)

    def judge(self, *overrides: str, **settings: Any) -> Outcome:
        """Judgements to rankings and comparisons, with what it needs first."""
        return self.run(*overrides, to="judge", **settings)

    def reward(self, *overrides: str, **settings: Any) -> Outcome:
        """The reward model, with what it needs first."""
        return self.run(*overrides, to="reward", **settings)

    def referee(self, *overrides: str, **settings: Any) -> Outcome:
        """The judge that only evaluates, with what it needs first."""
        return self.run(*overrides, to="referee", **settings)

    def ppo(self, *overrides: str, **settings: Any) -> Outcome:
        """Proximal policy optimisation, with what it needs first."""
        return self.run(*overrides, to="ppo", **settings)

    def rloo(self, *overrides: str, **settings: Any) -> Outcome:
        """REINFORCE with a leave-one-out baseline, with what it needs first."""
        return self.run(*overrides, to="rloo", **settings)

    def grpo(self, *overrides: str, **settings: Any) -> Outcome:
        """Group relative policy optimisation, with what it needs first."""
        return self.run(*overrides, to="grpo", **settings)

    def rejection(self, *overrides: str, **settings: Any) -> Outcome:
        """Rejection sampling fine-tuning, with what it needs first."""
        return self.run(*overrides, to="rejection", **settings)

    def online_dpo(self, *overrides: str, **settings: Any) -> Outcome:
        """Direct preference optimisation on its own samples, with what it needs first."""
        return self.run(*overrides, to="online-dpo", **settings)

    def dpo(self, *overrides: str, **settings: Any) -> Outcome:
        """Direct preference optimisation, with what it needs first."""
        return self.run(*overrides, to="dpo", **settings)

    def kto(self, *overrides: str, **settings: Any) -> Outcome:
        """Kahneman-Tversky optimisation, with what it needs first."""
        return self.run(*overrides, to="kto", **settings)

    def evaluate(self, *overrides: str, **settings: Any) -> Outcome:
        """Base, SFT and every policy measured, with what it needs first."""
        return self.run(*overrides, to="evaluate", **settings)

    def report(self, *overrides: str, **settings: Any) -> Outcome:
        """The page with the evidence, with what it needs first."""
        return self.run(*overrides, to="report", **settings)

    def status(self, *overrides: str, verify: bool = False, **settings: Any) -> Status:
        """What is done, stale and next, and what it will cost."""
        from tutelage.pipeline.status import project_status

        return project_status(
            self.path, self.recipe(*overrides, **settings), verify=verify, stages=self._stages
        )

    def artifact(self, stage: str, *overrides: str, **settings: Any) -> Finished:
        """The finished artifact of a stage (`.artifact` with its metrics, `.folder` with its files).

        Raises `StoreError` if the stage is not done as the recipe is now.
        """
        from tutelage.pipeline.said import closed_rounds, said_by_people
        from tutelage.pipeline.sources import find_sources
        from tutelage.pipeline.status import inspect_artifact

        recipe = self.recipe(*overrides, **settings)
        stages = stages_of(recipe, also=stage) if self._stages is None else self._stages
        needed_for(stage, stages)
        sources = find_sources(recipe.data, self.path).hashes()
        said = said_by_people(recipe, self.path), closed_rounds(recipe, self.path)
        planned = plan(recipe, sources, stages, *said)
        found = inspect_artifact(self.path, planned[stage])
        if found.state != "done" or found.finished is None:
            raise StoreError(
                f"{stage} is not done for this recipe: run `tutelage run --to {stage}` in {self.path}"
            )
        return found.finished

    def lineage(self, artifact_id: str) -> Node:
        """The way back from an artifact to sources and raters."""
        from tutelage.store.lineage import lineage

        return lineage(self.path, artifact_id)

    def summary(self) -> dict[str, Any]:
        """`report/summary.json`: base, SFT and each policy with each measure's value, interval and number.

        Before the report is made, the evaluation's own. Raises `StoreError` if there is neither.
        """
        path = self.path / "report" / SUMMARY
        try:
            if not path.exists():
                path = self.artifact("evaluate").folder / SUMMARY
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TutelageError):
            raise StoreError(
                f"there is no summary in {self.path} yet: run `tutelage run` to its end"
            ) from None

    @property
    def report_page(self) -> Path:
        """Where the report lies once it is made."""
        return self.path / "report" / "index.html"


def find_project(start: Path) -> Path:
    """The nearest folder with a recipe, from `start` upwards. Raises `StoreError`."""
    place = start.expanduser().resolve()
    if not place.exists():
        raise StoreError(f"there is no folder {start}: make a project with `tutelage init {start}`")
    for folder in (place, *place.parents):
        if (folder / RECIPE).is_file():
            return folder
    raise StoreError(f"{place} is in no project (there is no {RECIPE}): make one with `tutelage init NAME`")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Nested settings as overrides; values as JSON, which YAML reads."""
    texts: list[str] = []
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            texts += _flat(value, f"{key}.")
        else:
            texts.append(f"{key}={json.dumps(value)}")
    return texts
