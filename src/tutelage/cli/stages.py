"""`tutelage sft`, `sample`, `judge`, `reward`, ...: one stage, with what it needs first."""

from __future__ import annotations

import click

from tutelage.cli.options import OVERRIDES, open_project, overrides_argument, progress_options, project_option


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


sft = stage_command("sft", "Fine-tune the base model on demonstrations.")
sample = stage_command("sample", "Sample several responses to each prompt.")
judge = stage_command("judge", "Turn judgements into rankings and comparisons.")
reward = stage_command("reward", "Train the reward model.")
referee = stage_command("referee", "Train the judge that only evaluates.")
ppo = stage_command("ppo", "Train the policy against the reward model.")
evaluate = stage_command("evaluate", "Measure base, SFT and PPO.")
report = stage_command("report", "Write the page with the evidence.")
