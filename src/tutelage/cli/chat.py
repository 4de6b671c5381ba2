"""`tutelage chat`: talk to a project's models in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tutelage.cli.options import open_project, project_option
from tutelage.core.methods import MODEL_LABELS

if TYPE_CHECKING:
    from tutelage.pipeline.chat import Speaker

WHO = click.Choice(list(MODEL_LABELS))


@click.command()
@click.argument("message", required=False)
@click.option("--stage", type=WHO, help="Who answers; without it, the last of the recipe's policies.")
@click.option("--beside", type=WHO, help="A second model that answers the same, side by side.")
@click.option("--temperature", type=click.FloatRange(0, 5), help="0 always takes the likeliest token.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer.")
@project_option
def chat(
    message: str | None,
    stage: str | None,
    beside: str | None,
    temperature: float | None,
    max_tokens: int | None,
    project: str | None,
) -> None:
    """Talk to a model of the project, or let it answer MESSAGE once.

    In the conversation, /new begins another one and /quit (or Ctrl-D) ends it.
    """
    found = open_project(project)
    from tutelage.pipeline.chat import open_speakers

    first = stage or found.recipe().final
    names = [first] if beside is None or beside == first else [first, beside]
    speakers = open_speakers(
        found,
        names,
        temperature=temperature,
        max_new_tokens=max_tokens,
        say=lambda text: click.echo(text, err=True),
    )
    if message is not None:
        _answer(speakers, message)
        return
    if sys.stdin.isatty():
        click.echo(
            f"talking to {' and '.join(s.what for s in speakers)}; /new begins again, /quit ends", err=True
        )
    while (text := _read()) is not None:
        if text == "/new":
            for speaker in speakers:
                speaker.forget()
        elif text:
            _answer(speakers, text)


def _read() -> str | None:
    """The next message; None at the end of the conversation."""
    try:
        text = input("\nyou> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None
    return None if text in ("/quit", "/exit") else text


def _answer(speakers: list[Speaker], text: str) -> None:
    """Print what each speaker answers: in two columns on a wide terminal, else one below the other."""
    answers = [speaker.reply(text) for speaker in speakers]
    if len(speakers) == 1:
        click.echo(answers[0])
    elif sys.stdout.isatty():
        _columns(speakers, answers)
    else:
        for speaker, answer in zip(speakers, answers):
            click.echo(f"{speaker.name}> {answer}")


def _columns(speakers: list[Speaker], answers: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(speaker.name for speaker in speakers), expand=True, show_lines=False)
    table.add_row(*(Text(answer) for answer in answers))
    Console().print(table)
