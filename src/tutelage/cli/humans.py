"""`tutelage humans`: blind evaluation of models by people."""

from __future__ import annotations

import json

import click

from tutelage.cli.options import OVERRIDES, open_project, overrides_argument, project_option


@click.group()
def humans() -> None:
    """Let people compare models without knowing which is which."""


@humans.command(name="open", epilog=OVERRIDES)
@overrides_argument
@click.option("--models", metavar="A,B,...", help="Which to compare.  [default: base and the final policy]")
@click.option("--prompts", type=click.IntRange(min=1), help="Size of a test set.  [default: humans.prompts]")
@click.option(
    "--new-prompts", is_flag=True, help="Draw a test set anew, instead of asking the same prompts again."
)
@project_option
def open_(
    overrides: tuple[str, ...],
    models: str | None,
    prompts: int | None,
    new_prompts: bool,
    project: str | None,
) -> None:
    """Open a round: the newest evaluation's answers, side by side on the rating page.

    Raters get them there before other work. What they say of them trains nothing.
    """
    from tutelage.pipeline.humans import open_round

    found = open_project(project)
    sized = () if prompts is None else (f"humans.prompts={prompts}",)
    named = [name.strip() for name in (models or "").split(",") if name.strip()]
    made = open_round(found, found.recipe(*overrides, *sized), named, new_prompts=new_prompts)
    click.echo(
        f"round {made.number} is open: {', '.join(made.models)} on {made.prompts} prompts, "
        f"{made.waiting} pairs of answers for {made.raters_each} raters each (test set {made.test_set})"
    )
    click.echo(
        "raters find them on the page of `tutelage serve rate`; how it goes: `tutelage humans results`"
    )


@humans.command()
@click.option("--round", "number", type=click.IntRange(min=1), help="Which round.  [default: the last]")
@click.option(
    "--names", is_flag=True, help="Tell who is ahead although the round is open. Raters must not see it."
)
@click.option("--json", "as_json", is_flag=True, help="All figures, for programs; names them too.")
@project_option
def results(number: int | None, names: bool, as_json: bool, project: str | None) -> None:
    """How a round stands: whether it may stop, and once it is closed who is preferred."""
    from tutelage.evals.human_words import lines
    from tutelage.pipeline.humans import round_results

    found = open_project(project)
    seen = round_results(found, found.recipe(), number)
    if as_json:
        click.echo(json.dumps(seen.to_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(seen, names or seen.closed is not None)))


@humans.command()
@project_option
def close(project: str | None) -> None:
    """Close the round that is open: nobody is asked any more, and its results go into the report."""
    from tutelage.evals.human_words import lines
    from tutelage.pipeline.humans import close_round

    found = open_project(project)
    click.echo("\n".join(lines(close_round(found, found.recipe()), names=True)))
