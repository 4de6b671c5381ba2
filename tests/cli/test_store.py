"""`tutelage store`: what goes in comes out, what cannot be used is told, and nothing is written over."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from benchmarks.claims.people.says import EXPORTS
from tests.cli.conftest import Command


def test_in_and_out(folder: Path, command: Command) -> None:
    result = command("store", "import", str(EXPORTS / "label-studio.json"))
    assert "judgements: 4 new, 0 here already" in result.stdout
    assert "label-studio.json:1, field 'annotations[2]': its rater skipped the task" in result.stderr
    aside = [json.loads(line) for line in (folder / "label-studio.set_aside.jsonl").read_text().splitlines()]
    assert [(row["line"], row["field"]) for row in aside] == [(1, "annotations[2]")]
    assert command("store", "export", "back.json", "-f", "label-studio").stdout == (
        "back.json: 3 rows of label-studio\n"
    )
    assert json.loads((folder / "back.json").read_text())[0]["data"]["prompt"]
    assert command("store", "export", "pairs.csv", "--format", "trl").exit_code == 0
    assert command("store", "export", "everything").stdout.endswith("rows of records\n")
    again = command("store", "import", "everything")
    assert "judgements: 0 new, 4 here already" in again.stdout and not again.stderr


def test_a_target_that_is_there(folder: Path, command: Command) -> None:
    command("store", "import", str(EXPORTS / "argilla.json"))
    (folder / "mine.jsonl").write_text("mine")
    result = command("store", "export", "mine.jsonl", "-f", "ranking")
    assert result.exit_code == 2 and "mine.jsonl is there already" in result.stderr
    assert (folder / "mine.jsonl").read_text() == "mine"
    assert command("store", "export", "mine.jsonl", "-f", "ranking", "--force").exit_code == 0


def test_a_backup(folder: Path, command: Command) -> None:
    command("store", "import", str(EXPORTS / "argilla.json"))
    place = Path(command("store", "backup").stdout.removeprefix("backed up to ").strip())
    assert place.parent == folder / "backups"
    with sqlite3.connect(place) as copy:
        assert copy.execute("SELECT COUNT(*) FROM judgements").fetchone() == (3,)
    assert command("store", "backup", "tables", "--tables").exit_code == 0
    assert (folder / "tables" / "judgements.jsonl").read_text().count("\n") == 3
    assert command("store", "backup", "tables").exit_code == 2


def test_what_cannot_be_done_is_one_sentence(folder: Path, command: Command) -> None:
    for arguments, said in (
        (("export", "out"), "holds nothing to export yet"),
        (("export", "out.jsonl", "-f", "nope"), "there is no format 'nope'"),
        (("import", "nothing.json"), "there is no file nothing.json"),
        (("import", "rows.jsonl", "-f", "nope"), "there is no format 'nope' to read"),
        (("import", "rows.jsonl", "--as", "comparisons"), "nothing in rows.jsonl can be imported"),
    ):
        result = command("store", *arguments)
        assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1
