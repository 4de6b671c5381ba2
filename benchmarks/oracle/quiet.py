"""What every trainer of TRL is told here: no precision of its own, nothing saved, reported or drawn. Needs no TRL."""

from __future__ import annotations

import tempfile
from typing import Any


def common(**more: Any) -> dict[str, Any]:
    """Of any trainer's configuration."""
    return {
        "output_dir": tempfile.gettempdir(),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        **more,
    }
