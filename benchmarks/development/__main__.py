"""`python -m benchmarks.development PROJECT STAGE [key=value ...]`: a model's rates on the development set.

STAGE is `base` or a stage that trains a policy, of which the newest artifact answers, with the model and token
settings it was made with. Overrides are those of the recipe and come last: `evaluate.temperature=0`, `seed=5`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.development.measure import development_items, draw, examples, rates, table
from tutelage.core.errors import StoreError, TutelageError
from tutelage.core.methods import MODEL_LABELS
from tutelage.core.recipe import Recipe, apply_overrides, parse_recipe
from tutelage.models.roles import Policy, open_base, open_policy
from tutelage.pipeline.project import Project
from tutelage.sampling.local import LocalSampler
from tutelage.sampling.sampler import SamplingSettings
from tutelage.store.artifacts import Finished, finished_artifacts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.development", description=__doc__)
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("stage", metavar="STAGE", choices=tuple(MODEL_LABELS), help=", ".join(MODEL_LABELS))
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of the recipe")
    parser.add_argument(
        "--draws", type=_count, default=1, help="answers to each prompt, with seeds from `seed` on"
    )
    parser.add_argument("--answers", type=_count, default=0, metavar="N", help="show N answers of each kind")
    given = parser.parse_intermixed_args(arguments)
    try:
        run(Project(given.project), given.stage, given.overrides, given.draws, given.answers)
    except TutelageError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


def run(project: Project, stage: str, overrides: Sequence[str], num_draws: int, num_shown: int) -> None:
    """Measure one model and print its rates, then answers of the first draw."""
    found = None if stage == "base" else _newest(project, stage)
    recipe = _recipe(project, overrides, found)
    policy = _open(recipe, stage, found)
    contract, items = policy.trunk.contract, development_items()
    sampler = LocalSampler(policy.trunk, policy.adapter, recipe.evaluate.batch)
    how = SamplingSettings(contract.max_response, recipe.evaluate.temperature, seed=recipe.seed)
    draws = [draw(sampler, contract, items, replace(how, seed=how.seed + n)) for n in range(num_draws)]
    what = recipe.model.base if found is None else f"{found.id} of {found.artifact.finished}"
    seeds = f"seeds {how.seed} to {how.seed + num_draws - 1}" if num_draws > 1 else f"seed {how.seed}"
    print(f"{stage} {what}, temperature {how.temperature:g}, {seeds}")
    print(table(rates(draws)))
    if num_shown:
        print(examples(draws[0], num_shown))


def _newest(project: Project, stage: str) -> Finished:
    found = finished_artifacts(project.path, stage)
    if not found:
        raise StoreError(f"{stage} has not finished in {project.path}: run `tutelage run --to {stage}` there")
    if problem := found[0].problem():
        raise StoreError(f"the newest {stage}, {found[0].id}, is damaged: {problem}")
    return found[0]


def _recipe(project: Project, overrides: Sequence[str], found: Finished | None) -> Recipe:
    """The project's recipe with the artifact's own model and token settings, and the overrides over both."""
    made_with = {} if found is None else {g: found.artifact.recipe[g] for g in ("model", "tokens")}
    values = {**project.recipe().model_dump(mode="json"), **made_with}
    return parse_recipe(apply_overrides(values, overrides), f"the recipe of {project.path}")


def _open(recipe: Recipe, stage: str, found: Finished | None) -> Policy:
    if found is None:
        return Policy(open_base(recipe.model, recipe.tokens), None)
    return open_policy(recipe.model, recipe.tokens, found.folder / "model", stage)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 up")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
