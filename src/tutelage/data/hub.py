"""Rows of a data set on the Hugging Face hub; `datasets` is imported only when one is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tutelage.core.errors import DataError, NetworkError

_INSTEAD = "or download it elsewhere and give the local file or folder as the source"


def read_hub(name: str, split: str) -> Iterator[Mapping[str, Any]]:
    """Rows of `OWNER/NAME` or `OWNER/NAME:CONFIGURATION` in their order.

    Raises `NetworkError` when the hub cannot be reached and `DataError` when it knows no such data set,
    configuration or split.
    """
    try:
        import datasets
        from datasets.exceptions import DatasetNotFoundError
    except ImportError:
        raise DataError(
            f"reading {name} from the hub needs the package `datasets`: pip install 'tutelage[hub]'"
        ) from None
    repository, _, configuration = name.partition(":")
    talk = logging.getLogger("huggingface_hub")
    level = talk.level
    talk.setLevel(logging.ERROR)  # its retries would print five lines before our one sentence
    try:
        table = datasets.load_dataset(repository, configuration or None, split=split)
    except DatasetNotFoundError:
        raise DataError(
            f"the hub has no data set '{repository}' open to you: check its name, {_INSTEAD}"
        ) from None
    except (ValueError, RuntimeError) as problem:
        said = str(problem).strip().splitlines()[0].rstrip(".")
        advice = "name another split, or OWNER/NAME:CONFIGURATION"
        raise DataError(
            f"the data set {name}, split '{split}', cannot be loaded ({said}): {advice}"
        ) from None
    except OSError:
        raise NetworkError(
            f"the data set {name} cannot be fetched from the hub: connect to it, {_INSTEAD}"
        ) from None
    finally:
        talk.setLevel(level)
    yield from cast(Iterator[Mapping[str, Any]], table)
