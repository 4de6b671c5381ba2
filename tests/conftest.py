"""What all tests share: one thread, no network, and one tiny model a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.databases import KINDS, fresh_postgres, postgres_server

if TYPE_CHECKING:
    from tutelage.models.trunk import Trunk

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# How long a case takes is no part of any verdict: a busy machine must not fail a test.
settings.register_profile("tutelage", deadline=None)
settings.load_profile("tutelage")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server; skips where there is none."""
    with postgres_server() as address:
        yield address


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        yield "sqlite:///tutelage.db"
        return
    with fresh_postgres(request.getfixturevalue("postgres")) as address:
        yield address


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Llama (2 layers, width 64, 320 tokens). Do not write into it."""
    import torch

    from tutelage.models.tiny import make_tiny

    torch.set_num_threads(1)
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def new_trunk(tiny_folder: Path) -> Callable[..., Trunk]:
    """`new_trunk(folder, adapters=True, dtype="float32")`: a fresh trunk, by default of the tiny model."""
    from tutelage.core.settings import ModelSettings, TokenSettings
    from tutelage.models.loading import load_base
    from tutelage.models.trunk import Trunk

    def make(folder: Path | None = None, *, adapters: bool = True, dtype: str = "float32") -> Trunk:
        base = str(folder or tiny_folder)
        model = ModelSettings.model_validate({"base": base, "dtype": dtype, "device": "cpu"})
        return Trunk(load_base(model, TokenSettings()), adapters=adapters)

    return make
