"""Checkpoints: written whole or not at all, read back bit for bit.

A checkpoint is one file in the stage's folder, replaced atomically, so a kill at any moment leaves the
one before. It holds tensors and plain values only and is loaded with `weights_only=True`.
"""

from __future__ import annotations

import errno
import pickle
from pathlib import Path
from typing import Any

import torch

from tutelage.core.errors import ResourceError, StoreError
from tutelage.core.files import replacing

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in `folder`. Raises `ResourceError` when the disk is full."""
    try:
        with replacing(folder / FILE) as stream:
            torch.save(state, stream)
    except (OSError, RuntimeError) as problem:
        full = isinstance(problem, RuntimeError) or problem.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full:
            raise
        raise ResourceError(
            f"the disk is full, so no checkpoint could be written in {folder}: free some space and run again; "
            "the checkpoint before is kept"
        ) from None


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in `folder`, or None if there is none. Raises `StoreError` if it is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as problem:
        reason = str(problem).splitlines()[0][:120]
        raise StoreError(
            f"the checkpoint {path} is damaged ({reason}): delete it to start this stage again"
        ) from None
