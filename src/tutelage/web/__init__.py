"""The pages on which people work: rating and its overview, from one process (NiceGUI on FastAPI).

A doorway: what is asked next and what becomes of an answer is `preferences`', who may do what is
`preferences/accounts`'. Needs the extra `web`; `need_web` says so in one sentence.
"""

from __future__ import annotations

from importlib.util import find_spec

from tutelage.core.errors import ResourceError


def need_web() -> None:
    """Raises `ResourceError` if the packages of the extra `web` are not installed."""
    if find_spec("nicegui") is None:
        raise ResourceError("the pages need the package `nicegui`: pip install 'tutelage[web]'")
