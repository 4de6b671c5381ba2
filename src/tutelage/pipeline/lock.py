"""One run at a time in a project.

The lock belongs to the open file, so the system lets go of it when its process dies, however it dies;
the process id written into the file is for people.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tutelage.core.errors import StoreError

LOCK = ".tutelage.lock"
PATIENCE_SECONDS = 1.0
"""A look at the lock by `tutelage status` holds it for an instant; a run waits that out."""


@contextmanager
def project_lock(project: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the project's lock inside the `with` block. Raises `StoreError` if another run holds it."""
    path = project / LOCK
    with path.open("a+", encoding="utf-8") as stream:
        if not _take(stream, path):
            raise StoreError(
                f"another run{_by(_holder(stream))} is at work in {project}: wait for it, or stop it first"
            )
        before = _holder(stream)
        if before is not None:
            say(f"took over the lock of process {before}, which ended without letting go")
        _write(stream, json.dumps({"pid": os.getpid()}))
        try:
            yield
        finally:
            _write(stream, "")


def running(project: Path) -> int | None:
    """The process id of the run that is at work in the project (0 if unknown), or None."""
    try:
        with (project / LOCK).open("r", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(stream) or 0
            return None
    except OSError:
        return None


def _take(stream: IO[str], path: Path) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        except OSError as problem:
            if problem.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise StoreError(
                    f"the file system of {path.parent} cannot lock files: put the project on a local disk"
                ) from None
            raise


def _holder(stream: IO[str]) -> int | None:
    stream.seek(0)
    try:
        return int(json.loads(stream.read())["pid"])
    except (ValueError, KeyError, TypeError):
        return None


def _by(pid: int | None) -> str:
    return "" if pid is None else f" (process {pid})"


def _write(stream: IO[str], text: str) -> None:
    stream.seek(0)
    stream.truncate()
    stream.write(text)
    stream.flush()
