"""What an ensemble of reward models costs, how far its members differ, and what that does for calibration.

Four members on the embedded model, with adapters in its upper layers, against one reward model with the same:
time by turns in one process, memory as the peak of a process each. Then both are trained on the harmless half
of HH (Bai et al. 2022), split as `main-job.hh_real_data` splits it, and measured on dialogues that open with
another message. The one has seen all training prompts and each member its bootstrap sample of them.

So few held-out comparisons make an expected calibration error of 0.04 to 0.05 by noise alone, so the error that
is reported has the noise taken off (Kumar et al. 2019), and the note gives the plain one.

`python -m benchmarks.claims.training_core.ensembles MEMBERS` prints the bytes that training takes at its peak.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured
from benchmarks.claims.main_job import hh_real_data as hh
from benchmarks.claims.runner import ROOT, environment
from benchmarks.claims.workplace import emptied

if TYPE_CHECKING:
    import numpy as np

    from tutelage.core.settings import RewardSettings

MEMBERS = 4
SEED = 0
BINS = 8
HERE = "benchmarks.claims.training_core.ensembles"
Step = Callable[[int], None]


@dataclass(frozen=True)
class Size:
    """What is trained, and how often a cost is taken: `rounds` of `steps` steps of either, by turns."""

    base: str = "embedded"
    data: hh.Size = field(default_factory=lambda: hh.Size(upper_layers=8))
    rounds: int = 7
    steps: int = 4


CLAIMS = (
    Claim("time", f"{MEMBERS} members against one: time of a training step", "times", (Bound("<=", 2.0),)),
    Claim("memory", f"{MEMBERS} members against one: peak memory of training", "times", (Bound("<=", 1.3),)),
    Claim(
        "diversity",
        f"correlation of two of {MEMBERS} members' score differences on held-out HH comparisons",
        "",
        (Bound("<", 0.95),),
    ),
    Claim(
        "gain",
        "Brier score on held-out HH comparisons: one reward model's less the ensemble's",
        "",
        (Bound(">", 0.0),),
    ),
    Claim(
        "calibration",
        "ensemble on held-out HH comparisons: calibration error after scaling, less noise",
        "share",
        (Bound("<", 0.03),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    yield from measured(Size())


def measured(size: Size) -> Iterator[tuple[str, Measurement | NotMeasured]]:
    """All rows; `size` makes them quick to try."""
    yield "time", time_ratio(size)
    yield "memory", memory_ratio(size)
    yield from learned(size)


def time_ratio(size: Size) -> Measurement:
    """Median over rounds of the time of the ensemble's steps over that of one's, taken one after the other."""
    one, several = (stepper(size, members) for members in (1, MEMBERS))
    for step in (one, several):
        step(0)
    ratios: list[float] = []
    for turn in range(size.rounds):
        took: list[float] = []
        for step in (one, several):
            began = time.perf_counter()
            for number in range(size.steps):
                step(1 + turn * size.steps + number)
            took.append(time.perf_counter() - began)
        ratios.append(took[1] / took[0])
    note = f"median and range of {size.rounds} rounds of {size.steps} steps each; {_what(size)}"
    return Measurement(statistics.median(ratios), len(ratios), min(ratios), max(ratios), SEED, note)


def memory_ratio(size: Size) -> Measurement | NotMeasured:
    """Peak bytes of a process that trains the ensemble over those of one that trains one."""
    if not Path("/proc/self/clear_refs").exists():
        return NotMeasured("the peak of a process's memory is read from Linux's /proc")
    peaks: list[int] = []
    for members in (1, MEMBERS):
        command = [sys.executable, "-m", HERE, str(members), size.base, str(size.data.upper_layers)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"training for its memory failed: {done.stderr.strip().splitlines()[-1:]}")
        peaks.append(int(done.stdout.split()[-1]))
    one, several = (peak / 2**20 for peak in peaks)
    note = f"{several:.0f} MiB against {one:.0f}, weights and libraries included; {_what(size)}"
    return Measurement(several / one, 2, seed=SEED, note=note)


def _what(size: Size) -> str:
    return f"adapters in {size.data.upper_layers} upper layers, {size.data.batch} comparisons a step, {size.base} model"


def stepper(size: Size, members: int) -> Step:
    """A function that takes one optimiser step on the HH comparisons, of one reward model or of an ensemble."""
    from tutelage.training import ensemble, reward_model
    from tutelage.training.loop import Optimizer, plan_batches

    model, settings = untrained(size, members), reward_settings(size, members)
    data = hh.examples(hh.split(size.data)[0], model.trunk.contract)
    plan = plan_batches(len(data), settings.batch, 1, SEED)
    if members == 1:
        parameters, heads = reward_model.trunk_parameters(model), [model.head.weight]
    else:
        parameters = [p for i in range(members) for p in model.own_parameters(i)]
        heads = [one.head.weight for one in model.members]
        drawn = ensemble.draws(members, len(data), SEED)
    optimizer = Optimizer(parameters, settings.optim, len(plan), heads)

    def step(number: int) -> None:
        chosen = plan[number % len(plan)]
        batch = [data[i] for i in chosen]
        if members == 1:
            reward_model.accumulate(model, batch, settings, number)
        else:
            ensemble.accumulate(model, batch, drawn[:, chosen], settings, number)
        optimizer.step(min(number, len(plan) - 1))

    return step


def untrained(size: Size, members: int) -> Any:
    """A `RewardModel`, or with more members a `RewardEnsemble`, on a trunk of its own."""
    from tutelage.core.settings import LoraSettings, ModelSettings, TokenSettings
    from tutelage.models.ensemble import new_ensemble
    from tutelage.models.roles import new_reward_model, open_base

    lengths = {"max_prompt": size.data.max_prompt, "max_response": size.data.max_response}
    trunk = open_base(ModelSettings(base=size.base), TokenSettings(**lengths))
    upper = size.data.upper_layers
    if members == 1:
        return new_reward_model(trunk, "reward", LoraSettings(), upper, SEED)
    how = reward_settings(size, members).ensemble
    return new_ensemble(trunk, "reward", LoraSettings(), upper, how, SEED)


def reward_settings(size: Size, members: int) -> RewardSettings:
    from tutelage.core.settings import EnsembleSettings, OptimSettings, RewardSettings

    return RewardSettings(
        loss="bradley-terry",
        optim=OptimSettings(learning_rate=size.data.learning_rate),
        batch=size.data.batch,
        checkpoint_every=10**6,
        upper_layers=size.data.upper_layers,
        ensemble=EnsembleSettings(members=members),
    )


def learned(size: Size) -> Iterator[tuple[str, Measurement]]:
    """Diversity, gain and calibration of what both have learned."""
    import numpy as np

    from tutelage.stats.calibration import (
        as_confidence,
        brier,
        debiased_calibration_error,
        equal_mass_bins,
        expected_calibration_error,
    )
    from tutelage.stats.clustered import clustered_bootstrap

    one, plain, _ = trained(size, 1)
    several, prompts, members = trained(size, MEMBERS)
    assert plain == prompts
    found = members["ensemble"]
    told = (
        f"they order {found['disagreement']:.3f} of pairs differently; accuracy {found['member_accuracy']:.3f} a "
        f"member, {members['accuracy']['value']:.3f} together"
    )
    yield "diversity", Measurement(found["correlation"], len(several), seed=SEED, note=told)

    scores = [(1.0 - p) ** 2 for p in (one, several)]
    gain = clustered_bootstrap(scores[0] - scores[1], prompts, seed=SEED)
    told = (
        f"interval by prompt; {brier(one, np.ones_like(one)):.4f} for one that saw all prompts, "
        f"{found['member_brier']:.4f} for a member, {scores[1].mean():.4f} for the ensemble"
    )
    yield "gain", Measurement(gain.value, gain.n, gain.low, gain.high, SEED, told)

    bins = [equal_mass_bins(*as_confidence(np.log(p / (1 - p))), BINS) for p in (one, several)]
    plain_errors = [expected_calibration_error(b) for b in bins]
    told = (
        f"{BINS} bins; one reward model {debiased_calibration_error(bins[0]):.3f}; with the noise, "
        f"{plain_errors[1]:.3f} and {plain_errors[0]:.3f}, of which noise alone makes about {noise(several):.3f}"
    )
    yield "calibration", Measurement(debiased_calibration_error(bins[1]), len(several), seed=SEED, note=told)


def trained(size: Size, members: int) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    """Probabilities `(n,)` of the better side of held-out pairs, cross-fitted; their prompts; what was measured."""
    from tutelage.core.recorder import Recorder
    from tutelage.stats.calibration import held_out_probabilities
    from tutelage.training.ensemble import train_ensemble
    from tutelage.training.measure import pairs_of, scored
    from tutelage.training.reward_model import train_reward_model

    model, settings = untrained(size, members), reward_settings(size, members)
    learn, later = (hh.examples(part, model.trunk.contract) for part in hh.split(size.data))
    folder = emptied(f"ensembles_{members}")
    train = train_reward_model if members == 1 else train_ensemble
    recorder = Recorder("reward", folder, [hh.Heard()])
    found = train(model, learn, later, settings, folder=folder, recorder=recorder, seed=SEED)
    pairs = pairs_of(scored(model, later))
    prompts = [pair.prompt_id for pair in pairs]
    return held_out_probabilities([pair.margin for pair in pairs], units=prompts), prompts, found


def noise(probabilities: np.ndarray, draws: int = 200) -> float:
    """The expected calibration error of a forecast that is right, on outcomes drawn from its own probabilities."""
    import numpy as np

    from tutelage.stats.calibration import equal_mass_bins, expected_calibration_error

    sure = np.maximum(probabilities, 1 - probabilities)
    generator = np.random.default_rng(SEED)
    outcomes = (generator.random((draws, len(sure))) < sure).astype(float)
    return float(np.mean([expected_calibration_error(equal_mass_bins(sure, y, BINS)) for y in outcomes]))


def peak_of_training(size: Size, members: int) -> int:
    """Bytes that this process holds at most while it takes a few steps; on a GPU, of the GPU's memory."""
    import torch

    from tutelage.models.memory import told

    step = stepper(size, members)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, without that of loading
    for number in range(size.steps):
        step(number)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return told(Path("/proc/self/status"), "VmHWM")


def main() -> None:
    members, base, upper = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print(peak_of_training(Size(base=base, data=hh.Size(upper_layers=upper)), members))


if __name__ == "__main__":
    main()
