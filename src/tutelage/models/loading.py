"""Base models by name: the embedded one, a local folder, or a hub name, all the same way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tutelage.core.errors import ModelError, NetworkError
from tutelage.core.settings import ModelSettings, TokenSettings
from tutelage.data.tokens import FILE as CONTRACT_FILE
from tutelage.data.tokens import TokenContract
from tutelage.models import embedded
from tutelage.models.kernels import attention
from tutelage.models.quiet import quiet


@dataclass
class Loaded:
    """A causal language model in memory, its token contract, and the name it was asked for by."""

    model: Any
    contract: TokenContract
    name: str
    device: torch.device
    dtype: torch.dtype


def load_base(
    settings: ModelSettings, tokens: TokenSettings, say: Callable[[str], None] = lambda _: None
) -> Loaded:
    """Load a base model with the attention of `models.kernels`. Raises `ModelError` or `NetworkError`."""
    attention.register()
    place = resolve(settings.base, say)
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(place, revision=settings.revision)
            model = AutoModelForCausalLM.from_pretrained(
                place, revision=settings.revision, dtype=dtype, attn_implementation=attention.NAME
            )
    except OSError as problem:
        raise _cannot_load(settings.base, place, problem) from None
    except (ValueError, KeyError, RuntimeError, json.JSONDecodeError) as problem:
        raise ModelError(f"the model {settings.base} cannot be loaded: {_first_line(problem)}") from None
    except Exception as problem:
        if type(problem).__name__ != "SafetensorError":
            raise
        raise ModelError(
            f"the weights of {settings.base} are damaged ({_first_line(problem)}): fetch the model again"
        ) from None
    model.to(device)
    model.eval()
    kept = (Path(place) / CONTRACT_FILE).exists()
    contract = TokenContract.load(Path(place), tokens) if kept else TokenContract(tokenizer, tokens)
    return Loaded(model, contract, settings.base, device, dtype)


def resolve(base: str, say: Callable[[str], None] = lambda _: None) -> str:
    """The folder (as text) or hub name that `transformers` should load for `base`."""
    if base == "embedded":
        return str(embedded.ensure_embedded(say))
    folder = Path(base).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"the folder {base} holds no model: there is no config.json in it")
        return str(folder)
    if base.startswith((".", "/", "~")):
        raise ModelError(f"there is no model folder {base}: give a folder, a hub name, or 'embedded'")
    return base


def pick_device(wanted: str) -> torch.device:
    """The device a recipe asks for; `auto` takes a GPU where there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("model.device is cuda, but PyTorch sees no GPU here: set model.device=auto")
    return torch.device(wanted)


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The precision a recipe asks for; `auto` takes bf16 where the machine computes in it natively."""
    if wanted == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def has_native_bf16(device: torch.device) -> bool:
    """Whether bf16 products run in hardware: on this GPU, or through AVX512-BF16 or AMX on this CPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _cannot_load(base: str, place: str, problem: Exception) -> Exception:
    if Path(place).is_dir():
        return ModelError(f"the model folder {base} is incomplete: {_first_line(problem)}")
    return NetworkError(
        f"the model {base} is neither a local folder nor reachable on the hub ({_first_line(problem)}): "
        "check the name and the connection, or set model.base to a local folder"
    )


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return (lines[0] if lines else type(problem).__name__).rstrip(".")[:200]
