"""Are our losses and gradients TRL's, where both define the same thing?

Random tiny models and batches are written to a folder; TRL answers in processes of its own environments, we
answer here, and the answers are subtracted. Each value is the largest of: the difference of the losses; that
of any parameter's gradient, over the norm of that parameter's gradient; that of any advantage or return.
docs/concepts/compared-with-trl.md says how each side is set, and explains where the definitions differ.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments
from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from torch import Tensor

SEEDS = 4
WHAT = {
    "sft": "SFT: mean over response tokens, completion only",
    "reward_model": "reward model: Bradley-Terry on pairs",
    "dpo": "DPO",
    "robust_dpo": "robust DPO",
    "ipo": "IPO on log-probabilities a token, which is TRL's",
    "kto": "KTO with unequal weights, given the same mismatched pairs",
    "ppo_gae": "PPO: scores, KL in the rewards, GAE and returns, on responses of equal length",
    "ppo_whitening": "PPO: whitened advantages, with TRL's n - 1 for our n",
    "ppo": "PPO: policy and value loss from scores to gradients, on responses of equal length",
    "ppo_lengths": "PPO: policy loss at gamma = lambda = 1 on responses of many lengths",
    "ppo_extra_state": "PPO: our GAE, given TRL's one state more after a response, gives TRL's advantages",
    "grpo": "GRPO: mean a response, group-normalised advantages, KL k3 in the loss",
    "dr_grpo": "Dr. GRPO: constant denominator, centred advantages, temperature 0.7",
    "dapo": "DAPO: mean over tokens, higher upper clip",
    "grpo_corrected_kl": "GRPO: our k2 has the gradient of TRL's bias-corrected k3 while the ratio is 1",
    "rloo": "RLOO: leave-one-out advantages and gradients while the ratio is 1",
}
PARTS: dict[str, tuple[str, ...]] = {
    "ppo_gae": ("scores", "returns"),
    "ppo_whitening": ("advantages",),
    "ppo": ("loss", "gradient"),
    "ppo_lengths": ("loss", "gradient"),
    "ppo_extra_state": ("extra/returns", "extra/advantages"),
}
"""What a row looks at; the others look at the loss, the gradient, and advantages where there are any."""
CASES = {"ppo_gae": ("ppo",), "ppo_whitening": ("ppo", "ppo_lengths")}
"""Rows that look at other rows' cases."""
CLAIMS = tuple(
    Claim(name, f"{text}: differs from TRL at most by", "loss, share of a gradient", (Bound("<", 1e-5),))
    for name, text in WHAT.items()
)
Case = Mapping[str, Any]
Answer = Mapping[str, "Tensor"]


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    if (reason := environments.missing()) is not None:
        yield from ((claim.name, NotMeasured(reason)) for claim in CLAIMS)
        return
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cases = ask(place, SEEDS)
        found = [(case, differences(case, *both(case, place))) for case in cases]
    for claim in CLAIMS:
        yield claim.name, summed_up(claim.name, found)


def ask(folder: Path, seeds: int) -> list[dict[str, Any]]:
    """Write cases into `folder` and have TRL answer them there."""
    from benchmarks.claims.training_core.worlds import write

    cases = write(folder, seeds)
    environments.run(environments.TRL, "benchmarks.oracle.trl_losses", str(folder))
    environments.run(environments.TRL_WITH_PPO, "benchmarks.oracle.trl_ppo", str(folder))
    return cases


def both(case: Case, folder: Path) -> tuple[Answer, Answer]:
    """Our answer and TRL's."""
    from safetensors.torch import load_file

    from benchmarks.claims.training_core.ours import answer

    return answer(case, folder), load_file(folder / "answers" / f"{case['name']}.safetensors")


def differences(case: Case, ours: Answer, theirs: Answer) -> dict[str, float]:
    """The largest difference of each part that our answer has. Raises `ValueError` if TRL's lacks it."""
    theirs = dict(theirs)
    if case["settings"].get(
        "value_trains_trunk"
    ):  # TRL's value network is one of its own, ours is the policy
        for name in [n for n in theirs if n.startswith("value_grad/model.")]:
            theirs[name.removeprefix("value_")] = theirs[name.removeprefix("value_")] + theirs[name]
    worst: dict[str, float] = {}
    for name, mine in ours.items():
        part = "gradient" if "grad/" in name else name
        if name.endswith("clip_fraction"):
            continue
        other = theirs.get(name.removeprefix("extra/"))
        if other is None or other.shape != mine.shape:
            raise ValueError(f"TRL has no {name} of this shape in {case['name']}")
        worst[part] = max(worst.get(part, 0.0), _apart(mine.double(), other.double(), part == "gradient"))
    names = {name for name in theirs if name.startswith("grad/")}
    if names != {name for name in ours if name.startswith("grad/")}:
        raise ValueError(f"the parameters differ in {case['name']}")
    return worst


def _apart(mine: Tensor, other: Tensor, relative: bool) -> float:
    """The largest difference, or its norm over that of `other`; infinite where either is no number."""
    size = float((mine - other).norm() if relative else (mine - other).abs().max())
    if relative and size > 0:
        size /= float(other.norm()) or math.nan
    return size if math.isfinite(size) else math.inf


def summed_up(row: str, found: Sequence[tuple[Case, Mapping[str, float]]]) -> Measurement:
    """The largest difference of all parts that the row looks at, over all of its cases."""
    mine = [parts for case, parts in found if case["row"] in CASES.get(row, (row,))]
    wanted = PARTS.get(row) or tuple(mine[0])
    worst = {part: max(parts[part] for parts in mine) for part in wanted}
    said = ", ".join(f"{part.removeprefix('extra/')} {size:.1e}" for part, size in worst.items())
    return Measurement(max(worst.values()), len(mine), seed=0, note=f"{said}; {_versions(row)}")


def _versions(row: str) -> str:
    from importlib.metadata import version

    trl = environments.TRL_WITH_PPO if row.startswith("ppo") else environments.TRL
    return (
        f"random batches, fp32, TRL {trl}, transformers {version('transformers')}, torch {version('torch')}"
    )
