"""A reward model: an adapter (or a whole model) with a score head, read at a response's last token.

Saved so that others can load it: in adapter mode as a PEFT adapter of task SEQ_CLS whose `score` is
saved whole, in full mode as `AutoModelForSequenceClassification(num_labels=1)`. The padding token of
the saved configuration is the contract's, which text never contains, so that their pooling ("last token
that is not padding") finds the same token as ours.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.core.errors import ModelError
from tutelage.models.heads import ScalarHead, WeightedHeads
from tutelage.models.packed import by_tokens
from tutelage.models.quiet import quiet
from tutelage.models.scoring import Pair, joined
from tutelage.models.trunk import Trunk

SETTINGS = "reward.json"


class Scorer(ABC):
    """What every reward model offers, be it one model or an ensemble: scores, on a scale that is kept with it.

    P(a over b) = sigmoid((a - b) / temperature), once calibrated. `length_slope` is what a score gained a
    response token, within prompts, and is taken off `scores`; 0 leaves them as they are.
    """

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self.temperature = 1.0
        self.mean, self.std = 0.0, 1.0
        self.length_slope = 0.0

    @abstractmethod
    def raw(self, pairs: Sequence[Pair]) -> Tensor:
        """Scores `(B,)` in fp32 with their gradient, before length is taken off."""

    def scores(self, pairs: Sequence[Pair], max_tokens: int = 4096) -> Tensor:
        """Scores `(B,)` on the CPU without gradients; the same whatever `max_tokens`."""
        parts = in_parts(self.raw, pairs, max_tokens)
        lengths = torch.tensor([float(len(response)) for _, response in pairs])
        return torch.cat(parts) - self.length_slope * lengths if parts else torch.zeros(0)

    def normalised(self, scores: Tensor) -> Tensor:
        """Scores shifted and scaled to mean 0 and deviation 1 on the responses that it was fitted on."""
        return (scores - self.mean) / self.std

    def scale(self) -> dict[str, float]:
        """What `reward.json` keeps beside the weights."""
        return {
            "temperature": self.temperature,
            "mean": self.mean,
            "std": self.std,
            "length_slope": self.length_slope,
        }

    def set_scale(self, kept: Mapping[str, float]) -> None:
        """The inverse of `scale`. Raises `KeyError` if a number is missing."""
        self.temperature, self.mean, self.std = kept["temperature"], kept["mean"], kept["std"]
        self.length_slope = kept.get("length_slope", 0.0)


class RewardModel(Scorer):
    """One adapter (or a whole model) and its score head."""

    def __init__(self, trunk: Trunk, adapter: str | None, head: ScalarHead | WeightedHeads) -> None:
        super().__init__(trunk)
        self.adapter, self.head = adapter, head

    def raw(self, pairs: Sequence[Pair]) -> Tensor:
        """Scores `(B,)` in fp32 with their gradient, all pairs in one forward pass."""
        return self.head(self.features(pairs))

    def features(self, pairs: Sequence[Pair]) -> Tensor:
        """What the head reads, `(B, H)`: hidden states of the last tokens."""
        with self.trunk.using(self.adapter):
            packed = joined(pairs, self.trunk.device)
            return self.trunk.hidden(packed)[packed.ends]

    def save(self, folder: Path) -> None:
        """Write weights, token contract and calibration into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        score = self.head.weight.detach().cpu()
        if self.adapter is None:
            _save_classifier(self.trunk, score, folder)
        else:
            self.trunk.save_adapter(self.adapter, folder, task="SEQ_CLS", extra={"score.weight": score})
        (folder / SETTINGS).write_text(json.dumps(self.scale(), indent=2))

    @staticmethod
    def load(trunk: Trunk, folder: Path, name: str) -> RewardModel:
        """Read an adapter-mode reward model onto `trunk` under the adapter name `name`."""
        from tutelage.data.tokens import TokenContract, require_same

        saved = TokenContract.load(folder).fingerprint()
        mine = trunk.contract.fingerprint()
        require_same(mine, saved, f"the model {trunk.name}", f"the reward model {folder}")
        extra = trunk.load_adapter(name, folder)
        if "score.weight" not in extra:
            trunk.drop_adapter(name)
            raise ModelError(f"the adapter in {folder} has no score head: it is not a reward model")
        head = ScalarHead(trunk.width, trunk.device)
        with torch.no_grad():
            head.weight.copy_(extra["score.weight"])
        return RewardModel(trunk, name, head)._with_settings(folder)

    @staticmethod
    def load_full(trunk: Trunk, folder: Path) -> RewardModel:
        """Wrap a trunk that was loaded from a full-mode reward model's folder, with its score head."""
        try:
            tensors = load_file(folder / "score.safetensors")
        except (OSError, SafetensorError):
            raise ModelError(f"there is no score head in {folder}: it is not a reward model") from None
        head = ScalarHead(trunk.width, trunk.device)
        with torch.no_grad():
            head.weight.copy_(tensors["score.weight"])
        return RewardModel(trunk, None, head)._with_settings(folder)

    def _with_settings(self, folder: Path) -> RewardModel:
        self.set_scale(read_settings(folder))
        return self


def in_parts(
    score: Callable[[Sequence[Pair]], Tensor], pairs: Sequence[Pair], max_tokens: int
) -> list[Tensor]:
    """`score` of all pairs without gradients, at most `max_tokens` at a time, on the CPU."""
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    with torch.no_grad():
        return [score([pairs[i] for i in group]).cpu() for group in by_tokens(lengths, max_tokens)]


def read_settings(folder: Path) -> dict[str, Any]:
    """What `reward.json` in `folder` holds. Raises `ModelError` if it lacks the model's scale."""
    try:
        kept: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
        if {"temperature", "mean", "std"} <= kept.keys():
            return kept
    except (OSError, json.JSONDecodeError, AttributeError):
        pass
    raise ModelError(f"{folder / SETTINGS} is missing or damaged: train the reward model again")


def _save_classifier(trunk: Trunk, score: Tensor, folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    config = trunk.model.config.__class__(**trunk.model.config.to_dict())
    config.num_labels, config.pad_token_id = 1, trunk.contract.pad_id
    with torch.device("meta"):
        classifier = AutoModelForSequenceClassification.from_config(config)
    prefix = classifier.base_model_prefix
    body = {f"{prefix}.{k}": v for k, v in trunk.model.base_model.state_dict().items()}
    classifier.load_state_dict({**body, "score.weight": score.to(trunk.dtype)}, assign=True)
    with quiet():
        classifier.save_pretrained(folder)
    save_file({"score.weight": score.contiguous()}, folder / "score.safetensors")
    trunk.contract.save(folder)
