"""What every training stage shares: the optimiser, the schedule, the order of batches, and the checks.

Randomness is never carried along: each draw is made from a generator seeded by the stage's seed and the
step, so a run that goes on from a checkpoint draws what an undisturbed run would have drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.core.errors import TrainingError
from tutelage.core.settings import OptimSettings


class Optimizer:
    """AdamW with fp32 master weights for parameters of lower precision, a schedule, and clipping.

    `heads` are trained too, at `settings.head_learning_rate` if there is one.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        settings: OptimSettings,
        total_steps: int,
        heads: Sequence[nn.Parameter] = (),
    ) -> None:
        self.parameters = [*parameters, *heads]
        self.settings, self.total_steps = settings, total_steps
        self.masters = [
            p if p.dtype == torch.float32 else nn.Parameter(p.detach().float().clone())
            for p in self.parameters
        ]
        body, top = self.masters[: len(parameters)], self.masters[len(parameters) :]
        scale = (
            1.0
            if settings.head_learning_rate is None
            else settings.head_learning_rate / settings.learning_rate
        )
        groups = [{"params": body, "scale": 1.0}, {"params": top, "scale": scale}]
        self.adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=True,  # one pass over the weights: several times faster on a CPU too
        )

    def step(self, step: int) -> tuple[float, float]:
        """Apply the accumulated gradients and forget them. Returns their norm and the rate used (not a head's).

        Raises `TrainingError` if the norm is not finite: nothing is applied then.
        """
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if master is not parameter:
                master.grad = None if parameter.grad is None else parameter.grad.float()
        norm = float(nn.utils.clip_grad_norm_(self.masters, self.settings.max_grad_norm))
        if not math.isfinite(norm):
            raise TrainingError(
                f"the gradient at step {step} is not a finite number: lower optim.learning_rate, "
                "or set model.dtype=float32 if it is bfloat16; the last checkpoint is kept"
            )
        rate = learning_rate(step, self.total_steps, self.settings)
        for group in self.adam.param_groups:
            group["lr"] = rate * group["scale"]
        self.adam.step()
        with torch.no_grad():
            for parameter, master in zip(self.parameters, self.masters, strict=True):
                parameter.grad = None
                master.grad = None
                if master is not parameter:
                    parameter.copy_(master)
        return norm, rate

    def state(self) -> dict[str, object]:
        """Everything that the next step depends on, for a checkpoint."""
        return {"masters": [m.detach() for m in self.masters], "adam": self.adam.state_dict()}

    def restore(self, state: dict[str, object]) -> None:
        """The inverse of `state`: also puts the weights back into the parameters."""
        masters: list[Tensor] = state["masters"]  # type: ignore[assignment]
        with torch.no_grad():
            for parameter, master, saved in zip(self.parameters, self.masters, masters, strict=True):
                master.copy_(saved)
                if master is not parameter:
                    parameter.copy_(saved)
        self.adam.load_state_dict(state["adam"])  # type: ignore[arg-type]


def learning_rate(step: int, total_steps: int, settings: OptimSettings) -> float:
    """The rate at `step` (from 0): linear warm-up, then cosine to `floor` of the peak, or constant."""
    warmup = max(1, round(settings.warmup * total_steps)) if settings.warmup > 0 else 0
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    progress = (step - warmup) / max(1, total_steps - warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return settings.learning_rate * (settings.floor + (1.0 - settings.floor) * cosine)


def plan_batches(num_items: int, batch: int, epochs: int, seed: int) -> list[list[int]]:
    """The indices of every optimiser step of every epoch. Nothing is dropped: the last batch may be short."""
    plan: list[list[int]] = []
    for epoch in range(epochs):
        order = permutation(num_items, seed, epoch)
        plan += [order[i : i + batch] for i in range(0, num_items, batch)]
    return plan


def permutation(num_items: int, seed: int, turn: int) -> list[int]:
    """A shuffle of `range(num_items)` that depends on `seed` and `turn` alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, turn))
    return torch.randperm(num_items, generator=generator).tolist()


def derived_seed(seed: int, turn: int) -> int:
    """A seed for one turn of a stage, far from those of its neighbours."""
    return (seed * 1_000_003 + turn * 7_919 + 12_345) % (1 << 31)


def require_finite(loss: Tensor, what: str, step: int) -> None:
    """Raise `TrainingError` if a loss is not a number, before it can reach the weights."""
    if not torch.isfinite(loss):
        raise TrainingError(
            f"the {what} loss at step {step} is not a finite number: lower optim.learning_rate, "
            "or look for broken rows with `tutelage data check`; the last checkpoint is kept"
        )
