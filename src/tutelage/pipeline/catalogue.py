"""What there is to choose from: models (embedded, of the project, in the hub's cache) and shipped packs.

Read from configuration files alone; no weights are loaded and nothing is downloaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.core.errors import ModelError
from tutelage.core.methods import METHODS
from tutelage.data.packs import FILES, list_packs, pack_folder
from tutelage.models import embedded
from tutelage.pipeline.table import amount
from tutelage.store.artifacts import Finished, finished_artifacts

MODEL_STAGES = ("sft", "reward", "referee", *METHODS)


@dataclass(frozen=True)
class ModelEntry:
    """A model by the name that `model.base` or a command takes, where it is from, and a remark."""

    name: str
    kind: str
    note: str
    folder: Path | None = None


@dataclass(frozen=True)
class PackEntry:
    """A shipped pack: rows by file, its folder, and the first sentence of its card."""

    name: str
    rows: dict[str, int]
    folder: Path
    about: str


def list_models(project: Path | None = None) -> list[ModelEntry]:
    """The embedded model, the hub models in the local cache, and what the project's stages made."""
    ready = "ready" if embedded.is_ready() else "downloaded on first use (93 MB)"
    entries = [
        ModelEntry(
            "embedded", "embedded", f"{embedded.NAME}, Apache-2.0, {ready}", embedded.embedded_folder()
        )
    ]
    for name, folder in _cached_hub_models().items():
        entries.append(ModelEntry(name, "hub cache", f"{amount(_size(folder))} on disk", folder))
    if project is not None:
        for stage in MODEL_STAGES:
            newest = next(iter(finished_artifacts(project, stage)), None)
            if newest is not None:
                note = f"{newest.id[:8]}, finished {newest.artifact.finished}"
                entries.append(ModelEntry(stage, "this project", note, newest.folder / "model"))
    return entries


def show_model(name: str, project: Path | None = None) -> dict[str, str]:
    """Facts about one model, by a name from `list_models` or a folder. Raises `ModelError`."""
    entry = next((e for e in list_models(project) if e.name == name), None)
    folder = entry.folder if entry is not None else Path(name).expanduser()
    if entry is None and folder is not None and not folder.is_dir():
        raise ModelError(f"no model '{name}' is here: see `tutelage models list`, or give a folder")
    facts = {"name": name, "kind": entry.kind if entry else "folder"}
    if entry is not None:
        facts["about"] = entry.note
    if folder is None or not folder.is_dir():
        return facts
    facts["folder"] = str(folder)
    facts["on disk"] = amount(_size(folder))
    facts.update(_config_facts(folder))
    if project is not None and name in MODEL_STAGES:
        facts.update(_metric_facts(finished_artifacts(project, name)[0]))
    return facts


def list_packs_shipped() -> list[PackEntry]:
    """Every shipped pack with the number of its rows."""
    return [describe_pack(name) for name in list_packs()]


def describe_pack(name: str) -> PackEntry:
    """One shipped pack. Raises `DataError` if there is none of that name."""
    folder = pack_folder(name)
    files = [*(folder / file for file in FILES.values()), *sorted(folder.glob("eval_*.jsonl"))]
    rows = {f.stem: sum(1 for line in f.open("rb") if line.strip()) for f in files if f.exists()}
    card = folder / "CARD.md"
    lines = card.read_text(encoding="utf-8").splitlines() if card.exists() else []
    about = next((line for line in lines if line and not line.startswith(("#", "|"))), "")
    return PackEntry(folder.name, rows, folder, about)


def _cached_hub_models() -> dict[str, Path]:
    """Hub models with weights in the local cache, by name, each with its newest snapshot."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    root = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    found: dict[str, Path] = {}
    for folder in sorted(root.glob("models--*")):
        snapshots = [s for s in (folder / "snapshots").glob("*") if any(s.glob("*.safetensors"))]
        if snapshots:
            name = folder.name.removeprefix("models--").replace("--", "/")
            found[name] = max(snapshots, key=lambda s: s.stat().st_mtime)
    return found


def _config_facts(folder: Path) -> dict[str, str]:
    adapter, whole = _json(folder / "adapter_config.json"), _json(folder / "config.json")
    facts: dict[str, str] = {}
    if adapter:
        facts["adapter"] = f"LoRA of rank {adapter.get('r')}, alpha {adapter.get('lora_alpha')}"
        facts["on"] = str(adapter.get("base_model_name_or_path"))
    if whole:
        facts["architecture"] = ", ".join(whole.get("architectures") or [str(whole.get("model_type"))])
        shape = {"layers": "num_hidden_layers", "width": "hidden_size", "tokens known": "vocab_size"}
        facts |= {words: f"{whole[key]:,}" for words, key in shape.items() if isinstance(whole.get(key), int)}
        if whole.get("max_position_embeddings"):
            facts["longest text"] = f"{whole['max_position_embeddings']:,} tokens"
    tokens = _json(folder / "tokenizer_config.json")
    if tokens or (folder / "chat_template.jinja").exists():
        has = "chat_template" in tokens or (folder / "chat_template.jinja").exists()
        facts["chat template"] = "its own" if has else "none: the plain Human/Assistant one is used"
    return facts


def _metric_facts(finished: Finished) -> dict[str, str]:
    numbers = {k: v for k, v in finished.artifact.metrics.items() if isinstance(v, (int, float))}
    return {k.replace("_", " "): f"{v:.4g}" for k, v in numbers.items()}


def _json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
