"""`tutelage recipes`: which recipes are shipped, what is in them, and whether one is right."""

from __future__ import annotations

import click


@click.group()
def recipes() -> None:
    """List, show and check recipes."""


@recipes.command(name="list")
def list_() -> None:
    """The shipped recipes."""
    from tutelage.pipeline.recipes import shipped_recipes

    for recipe in shipped_recipes():
        click.echo(f"{recipe.name}: {recipe.title}")
        for word in ("hardware", "time", "cost"):
            if word in recipe.facts:
                click.echo(f"    {word:<9} {recipe.facts[word]}")


@recipes.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the recipe NAME as it is shipped."""
    from tutelage.pipeline.recipes import find_recipe

    click.echo(find_recipe(name).read_text(encoding="utf-8").rstrip())


@recipes.command()
@click.argument("file")
def check(file: str) -> None:
    """Check a recipe: every setting, and that its data files are there."""
    from tutelage.pipeline.recipes import check_recipe

    for line in check_recipe(file):
        click.echo(line)
