"""`tutelage models`: which models there are."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.cli.options import open_project, project_option


@click.group()
def models() -> None:
    """List and show models."""


@models.command(name="list")
@project_option
def list_(project: str | None) -> None:
    """Models that are here: embedded, of this project, in the hub's cache.

    Any name of the Hugging Face hub, or a folder, can stand in `model.base` too.
    """
    from tutelage.pipeline.catalogue import list_models
    from tutelage.pipeline.table import text_table

    entries = list_models(_around(project))
    click.echo("\n".join(text_table(["name", "from", ""], [[e.name, e.kind, e.note] for e in entries])))


@models.command()
@click.argument("name")
@project_option
def show(name: str, project: str | None) -> None:
    """Facts about the model NAME: a name from the list, or a folder."""
    from tutelage.pipeline.catalogue import show_model

    for word, value in show_model(name, _around(project)).items():
        click.echo(f"{word:<16} {value}")


def _around(project: str | None) -> Path | None:
    """The project around us; None where there is none and none was named."""
    from tutelage.core.errors import StoreError

    try:
        return open_project(project).path
    except StoreError:
        if project is not None:
            raise
        return None
