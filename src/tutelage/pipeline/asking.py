"""`tutelage ask`: what is worth asking next, scored by the newest reward model, and what it would buy.

The scores of responses that wait are kept in the database, where the desk reads them: from then on raters are given
what is expected to tell most. A reward model that stands alone disagrees with nobody; then closeness of its scores
decides, which cannot tell a hard question from one that is not known yet. Left out on purpose: training. After new
rankings, `tutelage run --to reward` and `tutelage ask` again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tutelage.core.errors import StoreError
from tutelage.store.artifacts import Finished, finished_artifacts

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.core.records import Prompt, Response
    from tutelage.models.reward import Scorer
    from tutelage.pipeline.forecast import Forecast
    from tutelage.pipeline.project import Project
    from tutelage.preferences.wanted import Want
    from tutelage.store.database import Database

Say = Callable[[str], None]
SHOWN = 5


@dataclass(frozen=True)
class Asked:
    """What was found. `worth` are texts of prompts with their information in nats, most first, `SHOWN` of them.

    `rankings` are wanted still, of which `allowed` are left in the budget (None: no limit); `seconds` is the median
    of one so far.
    """

    artifact: str
    members: int
    prompts: int
    responses: int
    worth: tuple[tuple[str, float], ...]
    rankings: int
    allowed: int | None
    seconds: float | None
    forecast: Forecast | None

    def lines(self) -> list[str]:
        """The same for people."""
        by = f"by {self.members} members" if self.members > 1 else "by closeness, since it is no ensemble"
        said = [
            f"{self.prompts} prompts wait; {self.responses} responses scored {by} (reward {self.artifact[:8]})"
        ]
        said += [f"  {value:.3f} nats  {text}" for text, value in self.worth]
        allowed = "" if self.allowed is None else f", {self.allowed} of them within the budget"
        said.append(f"{self.rankings} rankings are wanted{allowed}{self._time()}")
        return said + (self.forecast.lines(self.seconds) if self.forecast else [])

    def _time(self) -> str:
        if self.seconds is None:
            return ""
        count = self.rankings if self.allowed is None else min(self.rankings, self.allowed)
        return f": about {count * self.seconds / 60:.0f} minutes at the pace so far"


def ask(project: Project, *, forecast: bool = True, say: Say = lambda _: None) -> Asked:
    """Score what waits, keep the scores, and forecast. Raises `StoreError` if there is no reward model yet."""
    from tutelage.models.ensemble import RewardEnsemble
    from tutelage.models.roles import open_reward_model
    from tutelage.pipeline.forecast import forecast_of
    from tutelage.preferences.queue import read_queue
    from tutelage.preferences.wanted import Wanted
    from tutelage.store import people
    from tutelage.store.asking import keep_scores
    from tutelage.store.database import Database
    from tutelage.store.records import stamp

    recipe, newest = project.recipe(), newest_reward(project)
    with Database.open(recipe.database, project.path) as database:
        with database.read() as connection:
            since = stamp(-timedelta(hours=recipe.people.session_hours))
            wanted = list(Wanted(recipe.people).read(connection, since).values())
            responses = people.responses_of(connection, [r for want in wanted for r in want.unit.responses])
            prompts = {p.id: p for p in people.prompts_of(connection, [want.prompt_id for want in wanted])}
        model = open_reward_model(recipe.model, recipe.tokens, newest.folder / "model", "reward", say=say)
        say(f"scoring {len(responses)} responses to {len(wanted)} prompts")
        scores = scores_by_member(model, prompts, responses)
        with database.begin() as connection:
            keep_scores(connection, newest.id, scores)
        seconds = read_queue(database, recipe.people).median_seconds
        allowed = _allowed(database, recipe, since)
    found = forecast_of(project, recipe, newest, model, say) if forecast else None
    return Asked(
        artifact=newest.id,
        members=len(model.members) if isinstance(model, RewardEnsemble) else 1,
        prompts=len(wanted),
        responses=len(scores),
        worth=_worth(wanted, prompts, scores),
        rankings=sum(want.raters - want.held for want in wanted),
        allowed=allowed,
        seconds=seconds,
        forecast=found,
    )


def newest_reward(project: Project) -> Finished:
    """The reward model that was finished last. Raises `StoreError` if there is none."""
    finished = finished_artifacts(project.path, "reward")
    if not finished:
        raise StoreError(f"there is no reward model in {project.path} yet: run `tutelage run --to reward`")
    return finished[0]


def scores_by_member(
    model: Scorer, prompts: dict[str, Prompt], responses: Sequence[Response]
) -> dict[str, list[float]]:
    """A score in log-odds by each member (one, if it is no ensemble), by response id."""
    from tutelage.models.ensemble import RewardEnsemble

    contract = model.trunk.contract
    asked = {prompt_id: contract.prompt_ids(prompt.messages) for prompt_id, prompt in prompts.items()}
    pairs = [(asked[r.prompt_id], contract.response_ids(r.text)) for r in responses]
    several = isinstance(model, RewardEnsemble)
    table = model.member_scores(pairs) if several else model.scores(pairs)[None]
    rows = (table.double() / model.temperature).T.tolist()
    return {response.id: row for response, row in zip(responses, rows, strict=True)}


def _worth(
    wanted: Sequence[Want], prompts: dict[str, Prompt], scores: dict[str, list[float]]
) -> tuple[tuple[str, float], ...]:
    from tutelage.stats.information import ranking_information

    found = [
        (
            prompts[want.prompt_id].text,
            ranking_information(list(zip(*(scores[r] for r in want.unit.responses)))),
        )
        for want in wanted
    ]
    best = sorted(found, key=lambda item: -item[1])[:SHOWN]
    return tuple((" ".join(text.split())[:72], value) for text, value in best)


def _allowed(database: Database, recipe: Recipe, since: str) -> int | None:
    from tutelage.preferences.wanted import Budget

    with database.read() as connection:
        left = Budget.read(connection, recipe.people, since).left
    return None if math.isinf(left) else int(left)
