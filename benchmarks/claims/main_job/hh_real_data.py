"""A reward model on people's own comparisons: the harmless half of Anthropic's HH data (Bai et al. 2022).

The embedded model with LoRA, one epoch of Bradley-Terry on a part of the comparisons, measured on dialogues
that open with another message. What stands beside it: larger models trained on all 160,000 comparisons
reach 69 to 75% (GPT2-large 73.7% on the harmless part, DeBERTa-v3-large 75.2% on all), and two people agree
on 63%. The data file holds 1,851 comparisons, so this shows that the road works on real data, not a record.
The parameters below make it fit into about 20 minutes on two cores.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement
from benchmarks.claims.workplace import data_file, emptied

if TYPE_CHECKING:
    from tutelage.data.judged import Judged
    from tutelage.training.ranked import RankedExample

FILE = "preferences/hh_harmless_base.jsonl.gz"
SEED = 0


@dataclass(frozen=True)
class Size:
    """How much is trained and measured, in comparisons, and how long texts may be, in tokens."""

    train: int = 1400
    held_out: int = 400
    max_prompt: int = 256
    max_response: int = 128
    upper_layers: int | None = 15
    learning_rate: float = 4e-4
    batch: int = 8


PUBLISHED = "far larger models on all of the data: 69 to 75%; two people agree on 63%"
CLAIMS = (
    Claim(
        "accuracy",
        "reward model of 135M parameters on HH's harmless comparisons: held-out accuracy",
        "share",
        (Bound(">", 0.5, "low"),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement]]:
    yield "accuracy", train_and_measure(Size())


def train_and_measure(size: Size, base: str = "embedded") -> Measurement:
    """Held-out accuracy, with an interval that draws prompts."""
    measured = trained(size, base, emptied("hh_real_data"))
    found, on = measured["accuracy"], measured["trained_on"]["comparisons"]
    note = f"trained on {on} comparisons, interval by prompt; {PUBLISHED}"
    return Measurement(found["value"], found["n"], found["low"], found["high"], SEED, note)


def trained(size: Size, base: str, folder: Path) -> dict[str, Any]:
    """Train the reward model; returns all that `measured.json` would say of it."""
    from tutelage.core.recorder import Recorder
    from tutelage.core.settings import (
        LoraSettings,
        ModelSettings,
        OptimSettings,
        RewardSettings,
        TokenSettings,
    )
    from tutelage.models.roles import new_reward_model, open_base
    from tutelage.training.reward_model import train_reward_model

    tokens = TokenSettings(max_prompt=size.max_prompt, max_response=size.max_response, truncation_side="left")
    trunk = open_base(ModelSettings(base=base), tokens)
    model = new_reward_model(trunk, "reward", LoraSettings(), size.upper_layers, SEED)
    learn, later = split(size)
    settings = RewardSettings(
        loss="bradley-terry",
        optim=OptimSettings(learning_rate=size.learning_rate),
        epochs=1,
        batch=size.batch,
        checkpoint_every=20,
    )
    train, held_out = examples(learn, trunk.contract), examples(later, trunk.contract)
    recorder = Recorder("reward", folder, [Heard()])
    return train_reward_model(model, train, held_out, settings, folder=folder, recorder=recorder, seed=SEED)


def split(size: Size) -> tuple[list[Judged], list[Judged]]:
    """Comparisons to learn from and to measure on: a fifth of the openings, by hash, is held out."""
    from tutelage.core.settings import Source
    from tutelage.data.load import load_comparisons

    everything = load_comparisons([Source(source=str(data_file(FILE)))]).records
    later = [one for one in everything if is_held_out(one.prompt.messages[0].content)]
    learn = [one for one in everything if not is_held_out(one.prompt.messages[0].content)]
    choose = random.Random(SEED)
    return choose.sample(learn, min(size.train, len(learn))), choose.sample(
        later, min(size.held_out, len(later))
    )


def is_held_out(opening: str) -> bool:
    """Whether dialogues that open with this message are only measured on."""
    plain = " ".join(opening.lower().split())
    return int(hashlib.sha256(plain.encode()).hexdigest(), 16) % 5 == 0


def examples(judged: list[Judged], contract: Any) -> list[RankedExample]:
    """What the reward model trains on, as the pipeline makes it."""
    from tutelage.preferences.resolve import resolve_comparisons
    from tutelage.training.ranked import ranked_examples

    prompts = {one.prompt.id: one.prompt for one in judged}
    responses = {r.id: r for one in judged for r in one.responses}
    comparisons = resolve_comparisons([one.judgement for one in judged])
    return ranked_examples(prompts, responses, [], comparisons, contract)


class Heard:
    """Says how far training is, on standard error."""

    def metrics(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Numbers are in `metrics.jsonl` in the workplace."""

    def progress(self, stage: str, done: int, total: int, rate: float, unit: str, note: str) -> None:
        import sys

        print(f"  {stage} {done}/{total}, {rate:.0f} {unit} a second, {note}", file=sys.stderr)
