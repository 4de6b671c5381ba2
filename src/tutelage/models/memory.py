"""What a stage will need in memory, against what there is, and what to change when that is not enough."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tutelage.core.errors import ResourceError
from tutelage.models.inventory import ModelSize, Parts, Work, held, phases

GIB = 1 << 30
WORTH_SAYING = 0.02
"""Share of the peak that a change must save to be advised."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that stay from first to last, those that each phase adds, and the sum at the worst moment."""

    stage: str
    held: Parts
    phases: dict[str, Parts]

    @property
    def peak(self) -> str:
        """The phase that needs most."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def total(self) -> int:
        return sum(self.held.values()) + sum(self.phases[self.peak].values())

    @property
    def over_all_phases(self) -> int:
        """What all phases need one after the other, added up."""
        held = sum(self.held.values())
        return sum(held + sum(parts.values()) for parts in self.phases.values())

    def lines(self) -> list[str]:
        """What there is at the peak, the largest first, for people, in GiB."""
        parts = sorted({**self.held, **self.phases[self.peak]}.items(), key=lambda part: -part[1])
        return [f"{name} {size / GIB:.2f} GiB" for name, size in parts if size]


@dataclass(frozen=True)
class Change:
    """A setting, the value it would have, and the work that remains then."""

    setting: str
    work: Work


def estimate(work: Work, size: ModelSize) -> MemoryPlan:
    """The plan of a stage's work, from settings and the model's shape alone."""
    return MemoryPlan(work.stage, held(work, size), phases(work, size))


def available(device: torch.device) -> int:
    """Bytes that this process can have: free GPU memory, or on a CPU what is free and what it holds already.

    What it holds are libraries, which plans count, and what stages before have left to be used again.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return told(Path("/proc/meminfo"), "MemAvailable") + told(Path("/proc/self/status"), "VmRSS")
    except (OSError, ValueError, StopIteration):
        return 1 << 62


def give_back() -> None:
    """Return what has been freed to the system, where the C library is glibc, which would keep it for later.

    It takes a tenth of a second a GiB, so it belongs between phases, not steps.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def told(path: Path, name: str) -> int:
    """Bytes that a line of one of Linux's files tells, such as `VmRSS` of `/proc/self/status`."""
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def require_fits(work: Work, size: ModelSize, free: int) -> MemoryPlan:
    """The plan, if it needs at most `free` bytes; else `ResourceError` with what would bring it how far down."""
    plan = estimate(work, size)
    if plan.total <= free:
        return plan
    raise ResourceError(
        f"{work.stage} needs about {_gib(plan.total)} GiB and {_gib(free)} GiB are free "
        f"({', '.join(plan.lines()[:3])}): {advice(work, size, free)}"
    )


def advice(work: Work, size: ModelSize, free: int) -> str:
    """What to set, each with the peak that it brings: those that are enough alone, or else all together."""
    before = estimate(work, size).total
    alone = [(change, estimate(change.work, size).total) for change in changes(work, size, free)]
    helping = [(c, total) for c, total in alone if before - total >= WORTH_SAYING * before]
    enough = [f"{c.setting} ({_gib(total)} GiB)" for c, total in helping if total <= free]
    if enough:
        return f"set {' or '.join(enough)}"
    settings, total = _together(work, size, free)
    if not settings:
        return "take a smaller model.base"
    said = f"set {' and '.join(settings)} ({_gib(total)} GiB)"
    return said if total <= free else f"{said}, and take a smaller model.base"


def changes(work: Work, size: ModelSize, free: int) -> Iterator[Change]:
    """Single settings that save memory: first those that change no result, then by how much they change it.

    Of a setting with many values, the mildest that is enough; if none is, the strongest.
    """
    if work.micro_batch_tokens > work.longest:
        smaller = _halved(work.micro_batch_tokens, work.longest)
        options = [
            Change(f"{work.group}.optim.micro_batch_tokens={n}", replace(work, micro_batch_tokens=n))
            for n in smaller
        ]
        yield from _mildest(options, size, free)
    if work.decode_batch > 1:
        sampling = {"sft": "distillation.batch", "sample": "batch", "evaluate": "batch"}
        name = sampling.get(work.group, "rollouts")
        options = [
            Change(f"{work.group}.{name}={n}", replace(work, decode_batch=n))
            for n in _halved(work.decode_batch, 4)
        ]
        yield from _mildest(options, size, free)
    if work.dtype == torch.float32:
        yield Change("model.dtype=bfloat16", replace(work, dtype=torch.bfloat16))
    if work.full and (work.micro_batch_tokens > 0 or work.trunks > 1):
        of_policy = work.layers_setting == "model.upper_layers" and work.upper_layers is not None
        setting = "model.tune=lora with model.upper_layers=null" if of_policy else "model.tune=lora"
        yield Change(
            setting, replace(work, full=False, upper_layers=None if of_policy else work.upper_layers)
        )
    if work.micro_batch_tokens > 0:
        layers = _halved(min(work.upper_layers or size.layers, size.layers), max(1, size.layers // 4))
        options = [Change(f"{work.layers_setting}={n}", replace(work, upper_layers=n)) for n in layers]
        yield from _mildest(options, size, free)
    shorter = _halved(work.max_response, 16)
    options = [Change(f"tokens.max_response={n}", replace(work, max_response=n)) for n in shorter]
    yield from _mildest(options, size, free)


def _together(work: Work, size: ModelSize, free: int) -> tuple[list[str], int]:
    """Changes one upon the other, each the first in order that helps, until it fits or none does."""
    chosen: dict[str, str] = {}
    plan = estimate(work, size)
    least = WORTH_SAYING * plan.total
    while plan.total > free:
        for change in changes(work, size, free):
            name, after = change.setting.partition("=")[0], estimate(change.work, size)
            # Where two phases need alike, a change that helps one of them is on the way.
            if name not in chosen and plan.over_all_phases - after.over_all_phases >= least:
                break
        else:
            break
        chosen[name], work, plan = change.setting, change.work, after
    return list(chosen.values()), plan.total


def _halved(number: int, least: int) -> list[int]:
    """Half, a quarter and so on, and `least` in the end; nothing if it is there already."""
    found: list[int] = []
    while number > least:
        number = max(number // 2, least)
        found.append(number)
    return found


def _mildest(options: Sequence[Change], size: ModelSize, free: int) -> Iterator[Change]:
    """One of the options, or none if there are none."""
    fitting = [option for option in options if estimate(option.work, size).total <= free]
    yield from (fitting[:1] or options[-1:])


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
