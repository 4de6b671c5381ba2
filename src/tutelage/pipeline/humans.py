"""Blind evaluation of a project: open a round over the newest evaluation, look at it, close it.

Raters get its pairs on the rating page, before other work. What they say there trains nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tutelage.core.errors import StoreError
from tutelage.evals.human import prepare_round
from tutelage.evals.human_results import Results
from tutelage.evals.human_scoring import Answered, results
from tutelage.evals.task import EvaluationRow, read_answers
from tutelage.store import rounds
from tutelage.store.artifacts import Finished, finished_artifacts
from tutelage.store.database import Database
from tutelage.store.records import stamp

if TYPE_CHECKING:
    from tutelage.core.recipe import Recipe
    from tutelage.pipeline.project import Project


def open_round(
    project: Project,
    recipe: Recipe,
    models: Sequence[str] = (),
    *,
    new_prompts: bool = False,
) -> Results:
    """Open a round over `models` (for none: the base and the final model), and return it, empty as it is.

    The test set is that of the round before, unless there is none or `new_prompts`. Raises `StoreError` if one is open
    or there is no evaluation, `DataError` if the models or their answers do not make one.
    """
    evaluation = _newest(project)
    answers = _answers(evaluation, tuple(models) or ("base", recipe.final))
    with Database.open(recipe.database, project.path) as database, database.begin() as connection:
        earlier = rounds.rounds(connection)
        if opened := [one for one in earlier if one.closed is None]:
            raise StoreError(f"round {opened[0].number} is open: close it first with `tutelage humans close`")
        test_set = None
        if earlier and not new_prompts:
            test_set = sorted({unit.prompt_id for unit in rounds.units_of(connection, earlier[-1].id)})
        prepared = prepare_round(
            answers,
            recipe.humans,
            evaluation=evaluation.id,
            number=len(earlier) + 1,
            # Another set is another draw.
            seed=recipe.seed + (len(earlier) if new_prompts else 0),
            test_set=test_set,
        )
        rounds.keep_round(connection, prepared.round, prepared.units, prepared.prompts, prepared.responses)
        return results_of(connection, prepared.round)


def round_results(project: Project, recipe: Recipe, number: int | None = None) -> Results:
    """The results of a round (the last, for None) as they stand. Raises `StoreError` if there is none."""
    with Database.open(recipe.database, project.path) as database, database.read() as connection:
        return results_of(connection, _round(connection, number))


def all_results(database: Database) -> list[Results]:
    """The results of every round, the first one first."""
    with database.read() as connection:
        return [results_of(connection, one) for one in rounds.rounds(connection)]


def closed_results(recipe: Recipe, project: Path, wanted: Collection[str]) -> list[Results]:
    """The results of closed rounds by id, the first one first, as they were when each was closed."""
    if not wanted:
        return []
    with Database.open(recipe.database, project) as database:
        return [one for one in all_results(database) if one.round in wanted]


def close_round(project: Project, recipe: Recipe) -> Results:
    """Close the round that is open, and return what it came to. Raises `StoreError` if none is."""
    with Database.open(recipe.database, project.path) as database:
        return close_open(database)


def close_open(database: Database) -> Results:
    """The same in a database that is open already."""
    with database.begin() as connection:
        found = rounds.open_round(connection)
        if found is None:
            raise StoreError("no round is open: open one with `tutelage humans open`")
        moment = stamp()
        came_to = replace(results_of(connection, found), closed=moment)
        rounds.close_round(connection, found.id, moment, came_to.to_dict())
        return came_to


def results_of(connection: Connection, made: rounds.Round) -> Results:
    """What a round has come to: as it was when it was closed, or from its answers as they stand now."""
    if made.results is not None:
        return Results.from_dict(made.results)
    answers = [
        Answered(row.unit, row.rater_id, row.ranking, row.scores or {}, row.seconds)
        for row in rounds.answers_of(connection, made.id)
    ]
    return results(made, rounds.units_of(connection, made.id), answers)


def _round(connection: Connection, number: int | None) -> rounds.Round:
    known = rounds.rounds(connection)
    if not known:
        raise StoreError("there is no round of blind evaluation: open one with `tutelage humans open`")
    found = known[-1] if number is None else next((one for one in known if one.number == number), None)
    if found is None:
        raise StoreError(f"there is no round {number}: there are 1 to {known[-1].number}")
    return found


def _newest(project: Project) -> Finished:
    found = finished_artifacts(project.path, "evaluate")
    if not found:
        raise StoreError(f"there is no evaluation in {project.path}: run `tutelage evaluate` first")
    return found[0]


def _answers(evaluation: Finished, models: Sequence[str]) -> dict[str, list[EvaluationRow]]:
    there = {path.stem: path for path in sorted((evaluation.folder / "answers").glob("*.jsonl"))}
    for model in models:
        if model not in there:
            raise StoreError(
                f"evaluation {evaluation.id[:8]} has no answers by '{model}': it has those of {', '.join(there)}"
            )
    return {model: read_answers(there[model]) for model in dict.fromkeys(models)}
