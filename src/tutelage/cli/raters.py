"""`tutelage raters`: who may rate, look and own."""

from __future__ import annotations

import dataclasses
import json

import click

from tutelage.cli.options import open_project, project_option


@click.group()
def raters() -> None:
    """List raters, invite new ones, close accounts."""


@raters.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
@project_option
def list_(as_json: bool, project: str | None) -> None:
    """Everybody with an account."""
    from tutelage.pipeline.people import open_people

    with open_people(open_project(project)) as people:
        known = people.accounts.raters()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(r) for r in known], indent=2, ensure_ascii=False))
        return
    for rater in known:
        groups = ", ".join(f"{name}={value}" for name, value in rater.groups.items())
        state = "" if rater.active else "closed"
        click.echo(
            "  ".join(part for part in (f"{rater.name:<24}", f"{rater.role:<8}", groups, state) if part)
        )
    if not known:
        click.echo("nobody yet: `tutelage raters invite`, or open the page with `tutelage serve rate`")


@raters.command()
@click.option("--role", type=click.Choice(["rater", "viewer", "owner"]), default="rater", show_default=True)
@click.option("--name", default="", help="Fill in this name; it can be changed when it is accepted.")
@click.option(
    "--group", "groups", multiple=True, metavar="NAME=VALUE", help="An attribute, for later analysis."
)
@click.option(
    "--days", type=click.IntRange(1, 90), default=14, show_default=True, help="How long it is open."
)
@click.option(
    "--address", metavar="URL", help="Where people reach the pages.  [default: people.host and port]"
)
@project_option
def invite(
    role: str, name: str, groups: tuple[str, ...], days: int, address: str | None, project: str | None
) -> None:
    """Print a link with which one person makes an account. It works once, and is shown once."""
    from tutelage.pipeline.people import open_people

    named = dict(_pair(text) for text in groups)
    with open_people(open_project(project)) as people:
        token = people.accounts.invite(role, name=name, groups=named, days=days)
        click.echo(f"{people.address(address)}/invite/{token}")


@raters.command()
@click.argument("name")
@project_option
def deactivate(name: str, project: str | None) -> None:
    """Close the account of NAME. Its judgements stay."""
    from tutelage.pipeline.people import open_people

    with open_people(open_project(project)) as people:
        rater = people.accounts.named(name)
        people.accounts.deactivate(rater.id)
    click.echo(f"closed the account of {rater.name}; its judgements stay")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--group")
    return name.strip(), value.strip()
