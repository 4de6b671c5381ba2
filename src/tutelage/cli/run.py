"""`tutelage run`: everything that is not done yet."""

from __future__ import annotations

import click

from tutelage.cli.options import OVERRIDES, open_project, overrides_argument, progress_options, project_option


@click.command(epilog=OVERRIDES)
@overrides_argument
@click.option("--to", metavar="STAGE", help="Stop after this stage.")
@click.option("--force", metavar="STAGE", multiple=True, help="Run this stage again although it is done.")
@progress_options
@project_option
def run(
    overrides: tuple[str, ...], to: str | None, force: tuple[str, ...], style: str | None, project: str | None
) -> None:
    """Run every stage that is not done, in order.

    A stage that is finished is not run again unless what it is made from has changed. A run that was
    stopped goes on from its last checkpoint.
    """
    from tutelage.cli.progress import reporting, show_outcome

    found = open_project(project)
    with reporting(style) as reporter:
        outcome = found.run(*overrides, to=to, force=force, reporter=reporter)
    show_outcome(found, outcome, style)
