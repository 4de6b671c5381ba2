"""The group of all verbs, and how their errors look: one sentence, exit code 2."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from tutelage import __version__
from tutelage.core.errors import TutelageError
from tutelage.core.methods import METHODS

STAGE = "stages"
VERBS = {
    "init": "init:init",
    "run": "run:run",
    "status": "status:status",
    "sft": STAGE,
    "sample": STAGE,
    "judge": STAGE,
    "reward": STAGE,
    "referee": STAGE,
    **dict.fromkeys(METHODS, STAGE),
    "evaluate": STAGE,
    "report": STAGE,
    "chat": "chat:chat",
    "models": "models:models",
    "recipes": "recipes:recipes",
    "data": "data:data",
    "store": "store:store",
    "serve": "serve:serve",
    "raters": "raters:raters",
    "ask": "ask:ask",
    "humans": "humans:humans",
}
"""Each verb's module and name in it; the commands of stages are made alike, in `stages.COMMANDS`."""
STOPPED = 130
"""128 + SIGINT, as shells have it."""


class Doorway(click.Group):
    """Finds a verb's module when it is asked for, and shows a `TutelageError` as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        found = importlib.import_module(f"tutelage.cli.{module}")
        return getattr(found, name) if name else found.COMMANDS[cmd_name]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TutelageError as problem:
            click.echo(f"error: {problem}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("\nstopped; `tutelage run` goes on from here", err=True)
            ctx.exit(STOPPED)
        except BrokenPipeError:
            # The reader (`| head`) has gone: nothing more is to be said, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


@click.group(cls=Doorway, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tutelage", message="%(prog)s %(version)s")
@click.option(
    "--project", "-C", metavar="DIR", help="Work in the project at DIR instead of the one around you."
)
@click.pass_context
def tutelage(ctx: click.Context, project: str | None) -> None:
    """Raise a language model: helpful, harmless and honest, with the evidence.

    Make a project with `tutelage init NAME`, go into it, and `tutelage run`.
    """
    ctx.obj = project
