"""Faults of the machine as one sentence: a full disk, missing rights, no memory. Others are ours and pass."""

from __future__ import annotations

import errno
from pathlib import Path

from tutelage.core.errors import ResourceError, StoreError, TutelageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def explained(problem: BaseException, doing: str, project: Path) -> TutelageError | None:
    """The error to show the user for `problem`, met while `doing`; None if it is no fault of the machine."""
    if isinstance(problem, TutelageError):
        return problem
    said = str(problem)
    number = problem.errno if isinstance(problem, OSError) else None
    if number in _FULL or "No space left on device" in said:
        return ResourceError(
            f"the disk is full while {doing} in {project}: free some space and run again, "
            "it goes on from the last checkpoint"
        )
    if number in _REFUSED:
        where = getattr(problem, "filename", None) or project
        return StoreError(
            f"{where} cannot be written while {doing}: change its permissions or move the project"
        )
    if number == errno.EMFILE:
        return ResourceError(f"too many files are open while {doing}: raise the limit with `ulimit -n 4096`")
    if (
        isinstance(problem, MemoryError)
        or type(problem).__name__ == "OutOfMemoryError"
        or _names_memory(problem)
    ):
        return ResourceError(
            f"there is not enough memory for {doing}: lower optim.micro_batch_tokens or the stage's batch, "
            "or choose a smaller model.base"
        )
    return None


def _names_memory(problem: BaseException) -> bool:
    text = str(problem).lower()
    return isinstance(problem, RuntimeError) and any(words in text for words in _NO_MEMORY)
