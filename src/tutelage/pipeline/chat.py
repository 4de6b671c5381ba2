"""Talking to a project's models: any of base, SFT and the policies, one or several side by side.

Each speaker keeps a history of its own. In adapter mode speakers share one trunk. Who can speak is
settled before torch is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tutelage.core.errors import StoreError
from tutelage.core.hashing import canonical_json
from tutelage.core.methods import MODEL_LABELS
from tutelage.core.recipe import Recipe, parse_recipe, section
from tutelage.core.records import Message
from tutelage.pipeline.project import Project
from tutelage.sampling.sampler import SamplingSettings
from tutelage.store.artifacts import Finished, finished_artifacts

if TYPE_CHECKING:
    from tutelage.models.roles import Policy
    from tutelage.models.trunk import Trunk


@dataclass
class Speaker:
    """One model in a conversation. `what` says which it is, for people."""

    name: str
    what: str
    policy: Policy
    settings: SamplingSettings
    history: list[Message] = field(default_factory=list[Message])

    def reply(self, text: str) -> str:
        """Answer a message, remembering the conversation; the same seed and messages give the same answer."""
        from tutelage.sampling.local import LocalSampler

        self.history.append(Message("user", text))
        contract = self.policy.trunk.contract
        sampler = LocalSampler(self.policy.trunk, self.policy.adapter, batch=1)
        ids = contract.prompt_ids(self.history)
        sample = sampler.sample([ids], self.settings)[0][0]
        answer = contract.text(sample.ids)
        self.history.append(Message("assistant", answer))
        return answer

    def forget(self) -> None:
        """Begin a new conversation."""
        self.history.clear()


def open_speakers(
    project: Project,
    names: Sequence[str],
    *,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Speaker]:
    """Load the named models of a project: `base`, `sft`, or a method's name.

    A stage that is not done for the recipe as it is now is spoken for by its newest artifact, and `say`
    hears so. Temperature and length come from the recipe where they are None. Raises `StoreError` for
    a name that is none, or a stage that never finished.
    """
    recipe = project.recipe()
    if stranger := next((name for name in names if name not in MODEL_LABELS), None):
        known = ", ".join(MODEL_LABELS)
        raise StoreError(f"there is nobody called '{stranger}' to talk to: choose from {known}")
    who = {name: None if name == "base" else _newest(project, name, say) for name in names}
    # Beside a stage's model, the base is the one that this model was made from.
    then = next((_as_then(recipe, found) for found in who.values() if found is not None), recipe)
    trunks: dict[str, Trunk] = {}
    speakers: list[Speaker] = []
    for name, found in who.items():
        its = then if found is None else _as_then(recipe, found)
        how = SamplingSettings(
            max_new_tokens=max_new_tokens or its.tokens.max_response,
            temperature=recipe.evaluate.temperature if temperature is None else temperature,
            seed=recipe.seed,
        )
        what = its.model.base if found is None else f"{name} {found.id[:8]}"
        speakers.append(Speaker(name, what, _open(its, name, found, trunks, say), how))
    return speakers


def _newest(project: Project, stage: str, say: Callable[[str], None]) -> Finished:
    try:
        return project.artifact(stage)
    except StoreError:
        others = [f for f in finished_artifacts(project.path, stage) if f.problem() is None]
        if not others:
            raise
    say(f"{stage} is not done for the recipe as it is now: this is the one of {others[0].artifact.finished}")
    return others[0]


def _as_then(recipe: Recipe, found: Finished) -> Recipe:
    """The model and token settings that an artifact was made with, as a recipe that says nothing else."""
    kept = {group: found.artifact.recipe[group] for group in ("model", "tokens")}
    return parse_recipe({"name": recipe.name, **kept}, f"the manifest of {found.id}")


def _open(
    recipe: Recipe,
    name: str,
    found: Finished | None,
    trunks: dict[str, Trunk],
    say: Callable[[str], None],
) -> Policy:
    from tutelage.models.roles import Policy, open_base, open_policy

    folder = None if found is None else found.folder / "model"
    if folder is not None and recipe.model.tune == "full":
        return open_policy(recipe.model, recipe.tokens, folder, name, say=say)
    key = canonical_json(section(recipe, "model", "tokens"))
    if key not in trunks:
        trunks[key] = open_base(recipe.model, recipe.tokens, say)
    if folder is None:
        return Policy(trunks[key], None)
    return open_policy(recipe.model, recipe.tokens, folder, name, trunks[key], say)
