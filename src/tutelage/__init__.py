"""Tutelage raises a language model: helpful, harmless and honest, with the evidence.

`from tutelage import Project` is the whole of the Python API; it loads when it is first asked for, so
that `import tutelage` stays instant.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tutelage.pipeline.project import Project as Project

__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Project":
        from tutelage.pipeline.project import Project

        return Project
    raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
