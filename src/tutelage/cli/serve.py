"""`tutelage serve`: pages for people, from this machine."""

from __future__ import annotations

import click

from tutelage.cli.options import open_project, project_option


@click.group()
def serve() -> None:
    """Open pages on which people work."""


@serve.command()
@click.option(
    "--host", help="Address to listen at; 0.0.0.0 for all of this machine's.  [default: people.host]"
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen at.  [default: people.port]")
@click.option("--address", metavar="URL", help="Where people reach the pages, if a proxy stands before them.")
@project_option
def rate(host: str | None, port: int | None, address: str | None, project: str | None) -> None:
    """Open the page on which people rank responses.

    Prints its address and, as long as nobody owns the project, a link that makes you its owner.
    """
    from tutelage.web import need_web

    need_web()
    from tutelage.web.serve import serve_rating

    serve_rating(open_project(project), host=host, port=port, address=address, say=click.echo)
