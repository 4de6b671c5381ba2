"""`tutelage store`: judgements and what they are about, out of the database, into it, and copied."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.cli.options import open_project, project_option

SHOWN = 20


@click.group()
def store() -> None:
    """Export, import and back up prompts, responses, judgements and demonstrations."""


@store.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--format", "-f", "format", default="records", show_default=True, help="See below.")
@click.option("--split", help="One split alone: reward, judge or measure.")
@click.option("--models", is_flag=True, help="Judgements by models too, not people's alone.")
@click.option("--unranked", is_flag=True, help="Rating tools: also prompts that nobody has ranked.")
@click.option("--force", is_flag=True, help="Write over what is at TARGET.")
@project_option
def export(
    target: Path,
    format: str,
    split: str | None,
    models: bool,
    unranked: bool,
    force: bool,
    project: str | None,
) -> None:
    """Write records to TARGET: a folder for `records`, else a .jsonl, .json, .csv or .parquet file.

    \b
    records                all of it without loss, a file a kind; import reads it
    trl, hh                comparisons resolved from the judgements
    ranking                judgements, one a row
    messages               demonstrations
    argilla                2.x records (also argilla-flat, argilla-v1, argilla-v1-columns)
    label-studio           tasks with annotations
    """
    from tutelage.pipeline.exporting import export as write
    from tutelage.pipeline.exporting import open_store

    with open_store(open_project(project), "exporting") as database:
        written = write(database, target, format, split=split, models=models, unranked=unranked, force=force)
    click.echo(f"{target}: {written.rows} rows of {format}")
    for line in written.lines():
        click.echo(line)


@store.command(name="import")
@click.argument("source")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["comparisons", "demonstrations", "prompts"]),
    help="What the rows are; without it, what the first one looks like.",
)
@click.option("--format", "-f", "format", default="auto", show_default=True, help="As in a recipe's source.")
@click.option("--limit", type=click.IntRange(min=1), help="The first so many usable rows.")
@project_option
def import_(source: str, kind: str | None, format: str, limit: int | None, project: str | None) -> None:
    """Bring in SOURCE: an export or backup made here, a file or folder of rows, a hub data set, `pack:NAME`.

    Rankings exported by Argilla and Label Studio are known by their fields. Rows that cannot be used are set
    aside and told; importing again doubles nothing.
    """
    from tutelage.pipeline.exporting import open_store
    from tutelage.pipeline.importing import import_into, keep_set_aside

    found = open_project(project)
    with open_store(found, "importing") as database:
        done = import_into(database, source, Path(), kind=kind, format=format, limit=limit)
    for line in done.lines():
        click.echo(line)
    if done.set_aside:
        path = keep_set_aside(found.path, source, done.set_aside)
        for row in done.set_aside[:SHOWN]:
            click.echo(f"set aside: {row.sentence()}", err=True)
        more = len(done.set_aside) - SHOWN
        click.echo(f"{f'{more} more; ' if more > 0 else ''}all of them are in {path}", err=True)


@store.command()
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option("--tables", is_flag=True, help="A folder of every table, which any database takes.")
@project_option
def backup(target: Path | None, tables: bool, project: str | None) -> None:
    """Copy the live database, as it is at one moment, to TARGET (default: a dated name in backups/).

    SQLite gives a database file; another database, a folder of its tables. People may go on rating.
    """
    from tutelage.pipeline.exporting import backup as copy
    from tutelage.pipeline.exporting import open_store

    found = open_project(project)
    with open_store(found, "backing up") as database:
        place = copy(database, found.path, target, as_tables=tables)
    click.echo(f"backed up to {place}")
