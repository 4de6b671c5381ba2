"""`tutelage sft`, `sample`, `judge`, `reward`, ...: one stage, with what it needs first."""

from __future__ import annotations

import click

from tutelage.cli.options import OVERRIDES, open_project, overrides_argument, progress_options, project_option
from tutelage.core.methods import METHODS


def stage_command(name: str, summary: str) -> click.Command:
    """The verb that runs one stage."""

    @click.command(
        name=name, help=f"{summary} What it needs is run first.", short_help=summary, epilog=OVERRIDES
    )
    @overrides_argument
    @click.option("--force", is_flag=True, help="Run it again although it is done.")
    @progress_options
    @project_option
    def command(overrides: tuple[str, ...], force: bool, style: str | None, project: str | None) -> None:
        from tutelage.cli.progress import reporting, show_outcome

        found = open_project(project)
        with reporting(style) as reporter:
            outcome = found.run(*overrides, to=name, force=[name] if force else [], reporter=reporter)
        show_outcome(found, outcome, style, name)

    return command


SUMMARIES = {
    "sft": "Fine-tune the base model on demonstrations.",
    "sample": "Sample several responses to each prompt.",
    "judge": "Turn judgements into rankings and comparisons.",
    "reward": "Train the reward model.",
    "referee": "Train the judge that only evaluates.",
    **{method.name: method.command for method in METHODS.values()},
    "evaluate": "Measure base, SFT and every policy.",
    "report": "Write the page with the evidence.",
}
COMMANDS = {name: stage_command(name, summary) for name, summary in SUMMARIES.items()}
