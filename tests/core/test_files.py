"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.core.files import replace_text, replacing


def test_text_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    replace_text(path, "first\n")
    replace_text(path, "grüße\n")
    assert path.read_bytes() == "grüße\n".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    replace_text(path, "kept")

    def fail_half_way() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]
