"""Reward against the square root of KL: how much reward each step away from the SFT model brought."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.core.methods import of_kind
from tutelage.core.recipe import Recipe
from tutelage.report.figures import Figure, figure
from tutelage.report.numbers import count, number
from tutelage.report.plots import Axis, Point, Series
from tutelage.report.policy_curves import Lines, Told, with_interval
from tutelage.report.sources import Sources, series

ROOT_KL = Axis("square root of KL to SFT, root nats a response", low=0.0)
REWARD = Axis("reward (score)")


def frontier_figures(sources: Sources, recipe: Recipe) -> list[Figure]:
    """Reward against the square root of KL (Gao et al. 2022): all online policies together, then each."""
    all_told = [Told.of(method.name, sources, recipe) for method in of_kind("online", recipe.policies)]
    figures = [_frontier(told, alone=len(all_told) == 1) for told in all_told]
    found = [_together(all_told), *figures] if len(all_told) > 1 else figures
    return [figure for figure in found if figure is not None]


def _frontier(told: Told, alone: bool) -> Figure | None:
    """One policy's way, a point an iteration."""
    training = _along(told.lines, "kl_k1", "reward_mean", "reward_std", told.settings.rollouts)
    if not training:
        return None
    held_out = _along_held_out(told)
    drawn = [Series("training prompts", training, "one", "points")]
    first, last = training[0], training[-1]
    caption = (
        f"From left to right the policy moves away from SFT: to {number(last.x)} (the root of "
        f"{number(last.x**2)} nats a response), while the mean reward goes from {number(first.y)} to "
        f"{number(last.y)}."
    )
    if held_out:
        drawn.append(Series("held-out prompts", [p._replace(radius=4.5) for p in held_out], "two", "both"))
        best = max(held_out, key=lambda p: p.y)
        bent = best is not held_out[-1]
        caption += " On held-out prompts it " + (
            f"was highest at {number(best.x)} and lower beyond: a sign of over-optimisation, or chance."
            if bent
            else "rises to the end: no sign that it went too far."
        )
    caption += " The reward is the reward model's own, so a rise is not by itself an improvement."
    below = sum(1 for _, kl in series(told.lines, "kl_k1") if kl < 0)
    if below:
        times = count(below, "iteration")
        caption += f" In {times} the estimate of KL fell below zero by chance; it is drawn at zero."
    title = "Reward against the root of KL" if alone else f"{told.label}, with its training prompts"
    return figure(f"{told.name}-frontier", title, caption, ROOT_KL, REWARD, drawn, height=290)


def _together(all_told: Sequence[Told]) -> Figure | None:
    """Where each policy went on held-out prompts, which are the same for all."""
    ways = [(told, _along_held_out(told)) for told in all_told]
    drawn = [Series(told.label, points, told.name, "both") for told, points in ways if points]
    if len(drawn) < 2:
        return None
    caption = (
        "Mean reward on held-out prompts by how far each policy moved from SFT. Higher at the same distance "
        "is the better bargain with the reward model, which is not yet a better answer."
    )
    title = "Reward against the root of KL, side by side"
    return figure("frontiers", title, caption, ROOT_KL, REWARD, drawn, height=290)


def _along_held_out(told: Told) -> list[Point]:
    n = told.settings.held_out_prompts
    return _along(told.lines, "held_out_kl", "held_out_reward", "held_out_reward_std", n)


def _along(lines: Lines, kl: str, reward: str, deviation: str, n: int) -> list[Point]:
    """Reward with its interval at the root of KL, a negative estimate of which counts as zero."""
    roots = {step: math.sqrt(max(0.0, value)) for step, value in series(lines, kl)}
    rewards = with_interval(lines, reward, deviation, n)
    return [p._replace(x=roots[int(p.x)]) for p in rewards if int(p.x) in roots]
