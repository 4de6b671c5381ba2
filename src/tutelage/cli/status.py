"""`tutelage status`: what is done, what is next, what it will cost."""

from __future__ import annotations

import json

import click

from tutelage.cli.options import OVERRIDES, open_project, overrides_argument, project_option


@click.command(epilog=OVERRIDES)
@overrides_argument
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
@click.option("--verify", is_flag=True, help="Compare the content of every file with its hash.")
@click.option(
    "--lineage", metavar="ID", help="Show what the artifact ID (or the start of one) was made from."
)
@project_option
def status(
    overrides: tuple[str, ...], as_json: bool, verify: bool, lineage: str | None, project: str | None
) -> None:
    """Show what is done, what is stale and next, and what it will cost."""
    found = open_project(project)
    shown = found.status(*overrides, verify=verify) if lineage is None else found.lineage(lineage)
    if as_json:
        click.echo(json.dumps(shown.to_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(shown.lines()))
