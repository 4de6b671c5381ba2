"""Files that are there whole or not at all: a kill, or a power cut, leaves the old content or the new."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A stream whose content takes the place of `path` when the block ends well, and is made durable.

    If the block raises, `path` stays as it was and nothing is left behind.
    """
    fresh = path.with_name(f"{path.name}.tmp")
    try:
        with fresh.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 in the place of `path`, whole or not at all."""
    with replacing(path) as stream:
        stream.write(text.encode())


def sync(path: Path) -> None:
    """Make a file's content, or a folder's list of names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        # Some file systems cannot sync folders; the rename itself is still atomic there.
        if not path.is_dir():
            raise
    finally:
        os.close(handle)
