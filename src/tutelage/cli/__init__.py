"""The command `tutelage`: one file a verb, no logic. Nothing heavy is imported before a verb runs."""

from __future__ import annotations


def main() -> None:
    """Entry point of the command."""
    from tutelage.cli.group import tutelage

    tutelage(prog_name="tutelage")
