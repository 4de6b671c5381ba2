"""Updates of a policy on rollouts: several passes in minibatches, each added up a micro-batch at a time.

The method's own part is a function from what the policy now makes of the tokens to a loss. Denominators
are those of the minibatch, so losses and diagnostics of its micro-batches add up to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from tutelage.core.method_settings import OnlineSettings
from tutelage.objectives.policy import PpoPolicyLoss
from tutelage.training.loop import permutation, require_finite
from tutelage.training.online import Actors, Run, Seen, look_at, within
from tutelage.training.rollouts import FlatRollouts, Rollouts


@dataclass(frozen=True)
class Step:
    """The loss of a micro-batch, the diagnostics that add up over micro-batches, and extremes of the ratio.

    The diagnostics hold `approx_kl`, nats a token, on which updates stop early.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    ratio_min: Tensor
    ratio_max: Tensor


TokenLoss = Callable[[Seen, FlatRollouts, int], Step]
"""(what the policy makes of the tokens now, the rollouts' tokens, tokens of the minibatch) -> loss."""
Beside = Callable[[int], dict[str, float]]
"""(step) -> what was seen, having added the gradient of a further loss to that of the minibatch."""
Item = TypeVar("Item")
Learn = Callable[[Sequence[Item], int], dict[str, float]]
"""(items of a minibatch, step) -> what was seen: `approx_kl`, `ratio_min`, `ratio_max` and other numbers."""
Weigh = Callable[[Tensor], Tensor]
"""Token weights `(B, T)` from a minibatch's response mask (`objectives.groups`)."""


def policy_diagnostics(policy: PpoPolicyLoss) -> dict[str, Tensor]:
    """The diagnostics of a policy loss that add up over micro-batches."""
    return {
        "policy_loss": policy.loss,
        "clip_fraction": policy.clip_fraction,
        "approx_kl": policy.approx_kl,
        "ratio_mean": policy.ratio_mean,
    }


def update(
    run: Run, rollouts: Rollouts, loss_of: TokenLoss, weigh: Weigh | None = None, beside: Beside | None = None
) -> dict[str, float]:
    """Several passes over the rollouts that are learnt from, in minibatches (`passes`)."""

    def learn(chosen: Sequence[int], step: int) -> dict[str, float]:
        seen = accumulate(run.actors, rollouts, chosen, run.settings, step, loss_of, weigh)
        return seen if beside is None else {**seen, **beside(step)}

    return passes(run, rollouts.members, run.settings.minibatch, learn)


def passes(run: Run, items: Sequence[Item], size: int, learn: Learn[Item]) -> dict[str, float]:
    """Several passes over `items`, an optimiser step for each `size` of them; returns means over the steps.

    Stops early when the policy has moved too far. `learn` adds the gradient of a step and says what it saw.
    Where there is nothing to learn from, no step is taken.
    """
    settings = run.settings
    done: list[dict[str, float]] = []
    for epoch in range(settings.epochs):
        turn = (run.iteration + 1) * 1000 + epoch
        order = [items[i] for i in permutation(len(items), run.seed, turn)]
        for number, start in enumerate(range(0, len(items), size)):
            step = (run.iteration * settings.epochs + epoch) * settings.minibatches + number
            done.append(learn(order[start : start + size], step))
            done[-1]["grad_norm"], done[-1]["learning_rate"] = run.optimizer.step(step)
        limit = settings.max_update_kl
        if not done or (limit is not None and done[-1]["approx_kl"] > limit):
            break
    if not done:
        return {"updates": 0.0}
    means = {key: sum(d[key] for d in done) / len(done) for key in done[0]}
    means["ratio_max"] = max(d["ratio_max"] for d in done)
    means["ratio_min"] = min(d["ratio_min"] for d in done)
    return means | {"updates": float(len(done)), "approx_kl_last": done[-1]["approx_kl"]}


def accumulate(
    actors: Actors,
    rollouts: Rollouts,
    chosen: Sequence[int],
    settings: OnlineSettings,
    step: int,
    loss_of: TokenLoss,
    weigh: Weigh | None = None,
) -> dict[str, float]:
    """Add the gradient of one minibatch, a micro-batch at a time; returns its diagnostics."""
    mask = rollouts.response_mask[list(chosen)]
    num_tokens = int(mask.sum())
    weights = None if weigh is None else weigh(mask)

    def micro_batches() -> Iterator[Step]:
        for group in within([rollouts.pairs[i] for i in chosen], settings.optim.micro_batch_tokens):
            members = [chosen[i] for i in group]
            seen = look_at(actors, [rollouts.pairs[i] for i in members], settings)
            flat = None if weights is None else weights[group][mask[group]]
            made = loss_of(seen, rollouts.flat(members, actors.policy.device, flat), num_tokens)
            yield replace(made, sums={**made.sums, "entropy": seen.entropy.sum() / num_tokens})

    with actors.policy.using(actors.adapter):
        return add_up(micro_batches(), step)


def add_up(micro_batches: Iterable[Step], step: int) -> dict[str, float]:
    """Add the gradient of each micro-batch as it comes; returns the sums of what they saw, and the extremes."""
    sums: dict[str, float] = {}
    extremes: list[tuple[float, float]] = []
    for made in micro_batches:
        require_finite(made.loss, "policy", step)
        made.loss.backward()
        for key, number in made.sums.items():
            sums[key] = sums.get(key, 0.0) + float(number.detach())
        extremes.append((float(made.ratio_min), float(made.ratio_max)))
    return sums | {"ratio_min": min(e[0] for e in extremes), "ratio_max": max(e[1] for e in extremes)}
