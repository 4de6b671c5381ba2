"""Learning curves of PPO: each with its unit, its number of samples and what to see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.core.recipe import Recipe
from tutelage.report.figures import Figure, figure, points_of, share_axis, steps
from tutelage.report.numbers import count, number, percent
from tutelage.report.plots import Axis, Point, Series
from tutelage.report.sources import Sources, series
from tutelage.stats.intervals import wilson

Lines = Sequence[Mapping[str, Any]]
Z = 1.959964
"""Two-sided 95% quantile of the normal distribution."""


@dataclass(frozen=True)
class Curve:
    """How one metric of a log is drawn."""

    key: str
    title: str
    label: str
    name: str = ""
    tone: str = "one"


def ppo_figures(sources: Sources, recipe: Recipe) -> list[Figure]:
    """The figures that everyone should look at."""
    lines = sources.curves.get("ppo", ())
    makers = [
        _reward(lines, recipe),
        _kl(lines, recipe),
        _simple(lines, ENTROPY, _entropy_caption(lines)),
        _length(lines, recipe),
        _end_rate(lines, recipe),
        _simple(
            lines,
            CLIP,
            f"Share of tokens that moved further than the clip range of {recipe.ppo.objective.clip:g}. "
            "A few per cent is usual; much more means steps too large.",
            share=True,
        ),
        _simple(lines, UPDATE, _update_caption(recipe), include=(0.0,)),
        _simple(
            lines,
            EXPLAINED,
            "How much of the spread of returns the value head foresees: 1 is all, 0 is no better than the "
            "mean. It should rise.",
            include=(0.0, 1.0),
        ),
    ]
    return [figure for figure in makers if figure is not None]


ENTROPY = Curve("entropy", "PPO: entropy", "entropy, nats a token")
CLIP = Curve("clip_fraction", "PPO: clip fraction", "share of tokens clipped")
UPDATE = Curve("approx_kl", "PPO: approximate KL of the updates", "KL, nats a token")
EXPLAINED = Curve("explained_variance", "PPO: explained variance", "explained variance (1 is all)")
MORE = (
    (Curve("kl_coefficient", "PPO: KL coefficient", "reward a nat"), "What a nat of distance costs."),
    (
        Curve("ratio_max", "PPO: largest ratio", "new over old probability"),
        "The one token that moved up the most.",
    ),
    (
        Curve("ratio_min", "PPO: smallest ratio", "new over old probability"),
        "The one token that moved down the most.",
    ),
    (Curve("policy_loss", "PPO: policy loss", "loss"), "Its sign means little: advantages are whitened."),
    (
        Curve("value_loss", "PPO: value loss", "squared reward"),
        "It should fall while the reward holds still.",
    ),
    (
        Curve("sampler_gap", "PPO: sampler gap", "nats, largest over tokens"),
        "Sampler and trainer should agree to rounding; a gap biases the ratio.",
    ),
    (
        Curve("tokens_per_second", "PPO: speed", "tokens a second"),
        "Prompt and response tokens, all phases together.",
    ),
)


def more_ppo_figures(sources: Sources) -> list[Figure]:
    """Diagnostics for practitioners."""
    lines = sources.curves.get("ppo", ())
    figures = [_simple(lines, curve, caption) for curve, caption in MORE]
    return [figure for figure in figures if figure is not None]


def frontier_figure(sources: Sources, recipe: Recipe) -> Figure | None:
    """Reward against the square root of KL (Gao et al. 2022), a point an iteration."""
    lines = sources.curves.get("ppo", ())
    training = _along(lines, "kl_k1", "reward_mean", "reward_std", recipe.ppo.rollouts)
    if not training:
        return None
    held_out = _along(
        lines, "held_out_kl", "held_out_reward", "held_out_reward_std", recipe.ppo.held_out_prompts
    )
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
    below = sum(1 for _, kl in series(lines, "kl_k1") if kl < 0)
    if below:
        times = count(below, "iteration")
        caption += f" In {times} the estimate of KL fell below zero by chance; it is drawn at zero."
    x = Axis("square root of KL to SFT, root nats a response", low=0.0)
    return figure(
        "frontier", "Reward against the root of KL", caption, x, Axis("reward (score)"), drawn, height=290
    )


def _reward(lines: Lines, recipe: Recipe) -> Figure | None:
    per = recipe.ppo.rollouts
    points = _with_interval(lines, "reward_mean", "reward_std", per)
    if not points:
        return None
    drawn = [Series("training prompts", points, "one")]
    if held_out := _with_interval(
        lines, "held_out_reward", "held_out_reward_std", recipe.ppo.held_out_prompts
    ):
        drawn.append(Series("held-out prompts", held_out, "two", "both"))
    caption = (
        f"Mean score by the reward model, {count(per, 'response')} an iteration, with a 95% interval: from "
        f"{number(points[0].y)} to {number(points[-1].y)}."
    )
    return figure("ppo-reward", "PPO: reward", caption, steps("iteration"), Axis("reward (score)"), drawn)


def _kl(lines: Lines, recipe: Recipe) -> Figure | None:
    k1, k3 = series(lines, "kl_k1"), series(lines, "kl_k3")
    if not k1:
        return None
    drawn = [Series("k1", points_of(k1), "one")]
    if k3:
        drawn.append(Series("k3", points_of(k3), "two"))
    if held_out := series(lines, "held_out_kl"):
        drawn.append(Series("k1, held-out prompts", points_of(held_out, 4.0), "three", "points"))
    objective = recipe.ppo.objective
    caption = (
        f"Distance to the SFT model, ending at {number(k1[-1][1])} nats a response; two estimates that "
        f"should agree. The coefficient is {objective.kl_coefficient:g} and {objective.kl_controller}."
    )
    y = Axis("KL, nats a response", include=(0.0,))
    return figure("ppo-kl", "PPO: KL to the reference", caption, steps("iteration"), y, drawn)


def _length(lines: Lines, recipe: Recipe) -> Figure | None:
    lengths = series(lines, "response_length")
    if not lengths:
        return None
    before, after = lengths[0][1], lengths[-1][1]
    caption = f"Mean length went from {number(before, 0)} to {number(after, 0)} tokens"
    caption += f"; the limit is {recipe.tokens.max_response}. "
    grew = after > 1.25 * before
    caption += (
        "Growth without better answers is the commonest way to cheat a reward."
        if grew
        else "No great change."
    )
    if after < 0.75 * before:
        caption = caption.replace("No great change.", "Answers became clearly shorter.")
    drawn = [Series("length", points_of(lengths))]
    y = Axis("length, tokens", low=0.0)
    return figure("ppo-length", "PPO: response length", caption, steps("iteration"), y, drawn)


def _end_rate(lines: Lines, recipe: Recipe) -> Figure | None:
    rates = series(lines, "end_rate")
    if not rates:
        return None
    per = recipe.ppo.rollouts
    bounds = [(step, wilson(round(rate * per), per)) for step, rate in rates]
    points = [Point(step, i.value, i.low, i.high) for step, i in bounds]
    caption = (
        f"{percent(rates[-1][1], 0)} of the last iteration's {count(per, 'response')} ended by themselves "
        f"({percent(rates[0][1], 0)} at first), with a 95% interval. The rest was cut at the limit."
    )
    drawn = [Series("ended", points)]
    y = share_axis("share of responses")
    return figure("ppo-end-rate", "PPO: end of response", caption, steps("iteration"), y, drawn)


def _entropy_caption(lines: Lines) -> str:
    values = series(lines, "entropy")
    if not values:
        return ""
    fell = values[-1][1] < 0.5 * values[0][1]
    end = (
        "It lost more than half: the policy says fewer and fewer things."
        if fell
        else "Near zero it would repeat itself."
    )
    return f"From {number(values[0][1])} to {number(values[-1][1])} nats. {end}"


def _update_caption(recipe: Recipe) -> str:
    limit = recipe.ppo.max_update_kl
    said = "How far an iteration's updates move the policy from the one that sampled."
    return said if limit is None else f"{said} Above {limit:g} the iteration's updates stop."


def _simple(
    lines: Lines,
    curve: Curve,
    caption: str,
    share: bool = False,
    include: tuple[float, ...] = (),
) -> Figure | None:
    values = series(lines, curve.key)
    if not values:
        return None
    y = Axis(curve.label, include=(0.0,) if share else include, percent=share)
    name = f"ppo-{curve.key.replace('_', '-')}"
    return figure(name, curve.title, caption, steps("iteration"), y, [Series(curve.title, points_of(values))])


def _along(lines: Lines, kl: str, reward: str, deviation: str, n: int) -> list[Point]:
    """Reward with its interval at the root of KL, a negative estimate of which counts as zero."""
    roots = {step: math.sqrt(max(0.0, value)) for step, value in series(lines, kl)}
    rewards = _with_interval(lines, reward, deviation, n)
    return [p._replace(x=roots[int(p.x)]) for p in rewards if int(p.x) in roots]


def _with_interval(lines: Lines, mean: str, deviation: str, n: int) -> list[Point]:
    spread = dict(series(lines, deviation))
    found: list[Point] = []
    for step, value in series(lines, mean):
        half = Z * spread[step] / math.sqrt(n) if step in spread and n > 1 else None
        bounds = (None, None) if half is None else (value - half, value + half)
        found.append(Point(step, value, *bounds))
    return found
