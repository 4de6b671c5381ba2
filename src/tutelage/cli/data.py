"""`tutelage data`: which data is shipped, and whether data is fit for use."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tutelage.cli.options import open_project, project_option


@click.group()
def data() -> None:
    """List, show and check data."""


@data.command(name="list")
def list_() -> None:
    """The shipped packs, to name as `pack:NAME` in a recipe."""
    from tutelage.pipeline.catalogue import list_packs_shipped

    for pack in list_packs_shipped():
        click.echo(f"pack:{pack.name}: {', '.join(f'{rows} {name}' for name, rows in pack.rows.items())}")
        if pack.about:
            click.echo(f"    {pack.about}")


@data.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the data card of the pack NAME."""
    from tutelage.pipeline.catalogue import describe_pack

    pack = describe_pack(name)
    card = pack.folder / "CARD.md"
    click.echo(
        card.read_text(encoding="utf-8").rstrip() if card.exists() else f"pack:{pack.name} has no card"
    )


@data.command()
@click.argument("files", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
@project_option
def check(files: tuple[str, ...], as_json: bool, project: str | None) -> None:
    """Check FILES (or `pack:NAME`), or without any the data that the project's recipe names.

    Sizes, duplicates, spread, balance, leakage into the evaluation sets, and rows that cannot be used.
    """
    from tutelage.pipeline.datacheck import check_files, check_recipe_data

    if files:
        report = check_files(files, Path())
    else:
        found = open_project(project)
        report = check_recipe_data(found.recipe().data, found.path)
    click.echo(
        json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if as_json else "\n".join(report.lines())
    )
