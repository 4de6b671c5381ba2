"""One small tree of errors. Each message is one sentence: what is wrong, where, what to do.

The command line prints the message and leaves with exit code 2; anything that is not a
`TutelageError` is a fault of ours and shows its traceback.
"""

from __future__ import annotations

from pathlib import Path


class TutelageError(Exception):
    """Something the user can put right. `str(error)` is the whole sentence that they see."""


class RecipeError(TutelageError):
    """A recipe or an override that cannot be used as written."""


class DataError(TutelageError):
    """A data set, file or row that cannot be read as what it is said to be."""


class ModelError(TutelageError):
    """A model folder, hub name or adapter that cannot be loaded or saved."""


class ContractMismatch(ModelError):
    """Two artifacts disagree about template, special tokens or vocabulary."""


class ResourceError(TutelageError):
    """Not enough memory or disk for what was asked."""


class NetworkError(TutelageError):
    """Something had to be downloaded and could not be."""


class TrainingError(TutelageError):
    """Training cannot go on: a loss that is not a number, a collapse, an empty batch."""


class StoreError(TutelageError):
    """The project folder, its database or an artifact is missing, damaged or of another version."""


def at(file: str | Path, line: int | None = None, field: str | None = None) -> str:
    """Where something is, as `file:line, field 'name'`; the parts that are unknown are left out."""
    place = str(file) if line is None else f"{file}:{line}"
    return place if field is None else f"{place}, field '{field}'"
