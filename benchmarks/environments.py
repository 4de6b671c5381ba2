"""Environments of their own for libraries that claims compare us with: `python -m benchmarks.environments`.

Each is a folder with the project's Python, which sees the project's packages through a `.pth` file, so torch
and transformers are the very same and are not installed twice, and one pinned release of TRL. They lie in
`TUTELAGE_BENCH_DIR`, or below the user's cache, never in the project: TRL is no dependency of ours, and
claims reach it only by starting a process there.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRL = "1.16.0"
TRL_WITH_PPO = "1.12.0"
"""The last release with PPO (`trl.experimental.ppo`)."""
ALSO_NEEDED = {"datasets": "5.2.0", "accelerate": "1.15.0", "pandas": "3.1.1"}
"""What TRL imports and we do not: installed only where the project's packages lack it."""
HOW = "make it with `python -m benchmarks.environments` (it installs TRL outside the project)"


def place(version: str) -> Path:
    """The folder of the environment with that release of TRL."""
    cache = os.environ.get("TUTELAGE_BENCH_DIR") or Path.home() / ".cache" / "tutelage-bench"
    return Path(cache) / f"trl-{version}"


def missing(versions: Sequence[str] = (TRL, TRL_WITH_PPO)) -> str | None:
    """Why the environments cannot be used, with what to do; None if they are there."""
    for version in versions:
        installed = _packages(version) / f"trl-{version}.dist-info"
        if not installed.is_dir() or not _link(version).is_file():
            return f"there is no environment with TRL {version}: {HOW}"
        if _link(version).read_text().strip() != _ours():
            return f"the environment with TRL {version} belongs to another project folder: {HOW}"
    return None


def make(version: str) -> Path:
    """Make the environment if it is not there, and return its Python. Needs the package registry."""
    if missing([version]) is None:
        return _python(version)
    folder = place(version)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)], check=True)
    _link(version).write_text(_ours() + "\n")
    _install(version, "--no-deps", f"trl=={version}")
    lacking = [f"{n}=={v}" for n, v in ALSO_NEEDED.items() if importlib.util.find_spec(n) is None]
    if lacking:
        _install(version, *lacking)
    return _python(version)


def run(version: str, module: str, *arguments: str) -> None:
    """Run one of our programs with TRL at hand. Raises `RuntimeError` with its last words if it fails."""
    if (reason := missing([version])) is not None:
        raise RuntimeError(reason)
    quiet = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [str(_python(version)), "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **quiet},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        sys.stderr.write(done.stderr)
        raise RuntimeError(f"{module} under TRL {version} ended with code {done.returncode}: {last[0]}")


def _python(version: str) -> Path:
    return place(version) / "bin" / "python"


def _packages(version: str) -> Path:
    lib = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return place(version) / "lib" / lib / "site-packages"


def _link(version: str) -> Path:
    return _packages(version) / "project.pth"


def _ours() -> str:
    return sysconfig.get_paths()["purelib"]


def _install(version: str, *wanted: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(_python(version)), "install", "--quiet"]
    subprocess.run([*pip, *wanted], check=True)


def main() -> None:
    for version in (TRL, TRL_WITH_PPO):
        make(version)
        print(f"TRL {version} is ready")


if __name__ == "__main__":
    main()
