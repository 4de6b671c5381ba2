"""`tutelage init`: make a project."""

from __future__ import annotations

import click


@click.command()
@click.argument("name")
@click.option("--recipe", default="quickstart", show_default=True, help="A shipped recipe, or a file.")
def init(name: str, recipe: str) -> None:
    """Make the project folder NAME with a recipe, a constitution and guidelines."""
    from tutelage.pipeline.project import RECIPE, Project

    project = Project.init(name, recipe)
    click.echo(f"made {project.path} with the recipe '{recipe}'")
    click.echo(f"  {RECIPE:<20} what is done, with which model and data: yours to change")
    click.echo("  constitution.yaml    the principles the model should hold to")
    click.echo("  guidelines.md        what raters read")
    click.echo(f"next: cd {name} && tutelage run")
