"""`tutelage ask`: what is worth asking people next, and what it would buy."""

from __future__ import annotations

import dataclasses
import json

import click

from tutelage.cli.options import open_project, project_option


@click.command()
@click.option("--no-forecast", is_flag=True, help="Score what waits, and say nothing of what more would buy.")
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
@project_option
def ask(no_forecast: bool, as_json: bool, project: str | None) -> None:
    """Find what is worth asking raters next, and forecast what it would buy.

    Scores the responses that wait with the newest reward model; from then on `tutelage serve rate` gives raters what
    is expected to tell most. Run it after each `tutelage run --to reward`.
    """
    from tutelage.pipeline.asking import ask as find

    found = find(open_project(project), forecast=not no_forecast, say=lambda said: click.echo(said, err=True))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(found.lines()))
