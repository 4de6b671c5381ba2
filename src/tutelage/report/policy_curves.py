"""Learning curves of online methods: each with its unit, its number of samples and what to see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.core.method_settings import OnlineSettings
from tutelage.core.methods import METHODS
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


@dataclass(frozen=True)
class Told:
    """The log of one policy's training, and what its captions need to know of the recipe."""

    name: str
    label: str
    lines: Lines
    settings: OnlineSettings
    limit: int

    @classmethod
    def of(cls, method: str, sources: Sources, recipe: Recipe) -> Told:
        lines, label = sources.curves.get(method, ()), METHODS[method].label
        return cls(method, label, lines, recipe.online(method), recipe.tokens.max_response)

    @property
    def objective(self) -> Any:
        """The settings of the method's own loss."""
        return getattr(self.settings, "objective", None)


def online_figures(method: str, sources: Sources, recipe: Recipe) -> list[Figure]:
    """The figures of one policy that everyone should look at."""
    told = Told.of(method, sources, recipe)
    makers = [
        _reward(told),
        _kl(told),
        _simple(told, ENTROPY, _entropy_caption(told.lines)),
        _length(told),
        _end_rate(told),
        _simple(told, CLIP, _clip_caption(told), share=True),
        _simple(told, UPDATE, _update_caption(told), include=(0.0,)),
        _simple(
            told,
            EXPLAINED,
            "How much of the spread of returns the value head foresees: 1 is all, 0 is no better than the "
            "mean. It should rise.",
            include=(0.0, 1.0),
        ),
    ]
    return [figure for figure in makers if figure is not None]


ENTROPY = Curve("entropy", "entropy", "entropy, nats a token")
CLIP = Curve("clip_fraction", "clip fraction", "share of tokens clipped")
UPDATE = Curve("approx_kl", "approximate KL of the updates", "KL, nats a token")
EXPLAINED = Curve("explained_variance", "explained variance", "explained variance (1 is all)")
MORE = (
    (Curve("kl_coefficient", "KL coefficient", "reward a nat"), "What a nat of distance costs."),
    (
        Curve("ratio_max", "largest ratio", "new over old probability"),
        "The one token that moved up the most.",
    ),
    (
        Curve("ratio_min", "smallest ratio", "new over old probability"),
        "The one token that moved down the most.",
    ),
    (
        Curve("policy_loss", "policy loss", "loss"),
        "Its sign means little: advantages have a mean of about zero.",
    ),
    (
        Curve("value_loss", "value loss", "squared reward"),
        "It should fall while the reward holds still.",
    ),
    (
        Curve("sampler_gap", "sampler gap", "nats, largest over tokens"),
        "Sampler and trainer should agree to rounding; a gap biases the ratio.",
    ),
    (
        Curve("tokens_per_second", "speed", "tokens a second"),
        "Prompt and response tokens, all phases together.",
    ),
)


def more_online_figures(method: str, sources: Sources, recipe: Recipe) -> list[Figure]:
    """Diagnostics for practitioners."""
    told = Told.of(method, sources, recipe)
    figures = [_simple(told, curve, caption) for curve, caption in MORE]
    return [figure for figure in figures if figure is not None]


def _reward(told: Told) -> Figure | None:
    per = told.settings.rollouts
    points = with_interval(told.lines, "reward_mean", "reward_std", per)
    if not points:
        return None
    drawn = [Series("training prompts", points, "one")]
    n = told.settings.held_out_prompts
    if held_out := with_interval(told.lines, "held_out_reward", "held_out_reward_std", n):
        drawn.append(Series("held-out prompts", held_out, "two", "both"))
    caption = (
        f"Mean score by the reward model, {count(per, 'response')} an iteration, with a 95% interval: from "
        f"{number(points[0].y)} to {number(points[-1].y)}."
    )
    return _figure(told, "reward", "reward", caption, Axis("reward (score)"), drawn)


def _kl(told: Told) -> Figure | None:
    k1, k3 = series(told.lines, "kl_k1"), series(told.lines, "kl_k3")
    if not k1:
        return None
    drawn = [Series("k1", points_of(k1), "one")]
    if k3:
        drawn.append(Series("k3", points_of(k3), "two"))
    if held_out := series(told.lines, "held_out_kl"):
        drawn.append(Series("k1, held-out prompts", points_of(held_out, 4.0), "three", "points"))
    caption = (
        f"Distance to the SFT model, ending at {number(k1[-1][1])} nats a response; two estimates that "
        "should agree."
    )
    if (coefficient := getattr(told.objective, "kl_coefficient", None)) is not None:
        controller = getattr(told.objective, "kl_controller", "fixed")
        caption += (
            f" The coefficient starts at {coefficient:g} and holds a target of {told.objective.kl_target:g}."
            if controller == "target"
            else f" The coefficient is {coefficient:g} and {controller}."
        )
    y = Axis("KL, nats a response", include=(0.0,))
    return _figure(told, "kl", "KL to the reference", caption, y, drawn)


def _figure(told: Told, key: str, title: str, caption: str, y: Axis, drawn: Sequence[Series]) -> Figure:
    return figure(f"{told.name}-{key}", f"{told.label}: {title}", caption, steps("iteration"), y, drawn)


def _length(told: Told) -> Figure | None:
    lengths = series(told.lines, "response_length")
    if not lengths:
        return None
    before, after = lengths[0][1], lengths[-1][1]
    caption = f"Mean length went from {number(before, 0)} to {number(after, 0)} tokens"
    caption += f"; the limit is {told.limit}. "
    grew = after > 1.25 * before
    caption += (
        "Growth without better answers is the commonest way to cheat a reward."
        if grew
        else "No great change."
    )
    if after < 0.75 * before:
        caption = caption.replace("No great change.", "Answers became clearly shorter.")
    drawn = [Series("length", points_of(lengths))]
    return _figure(told, "length", "response length", caption, Axis("length, tokens", low=0.0), drawn)


def _end_rate(told: Told) -> Figure | None:
    rates = series(told.lines, "end_rate")
    if not rates:
        return None
    per = told.settings.rollouts
    bounds = [(step, wilson(round(rate * per), per)) for step, rate in rates]
    points = [Point(step, i.value, i.low, i.high) for step, i in bounds]
    caption = (
        f"{percent(rates[-1][1], 0)} of the last iteration's {count(per, 'response')} ended by themselves "
        f"({percent(rates[0][1], 0)} at first), with a 95% interval. The rest was cut at the limit."
    )
    y = share_axis("share of responses")
    return _figure(told, "end-rate", "end of response", caption, y, [Series("ended", points)])


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


def _clip_caption(told: Told) -> str:
    clip = getattr(told.objective, "clip", None)
    which = "the clip range" if clip is None else f"the clip range of {clip:g}"
    return (
        f"Share of tokens that moved further than {which}. A few per cent is usual; much more means steps "
        "too large."
    )


def _update_caption(told: Told) -> str:
    limit = told.settings.max_update_kl
    said = "How far an iteration's updates move the policy from the one that sampled."
    return said if limit is None else f"{said} Above {limit:g} the iteration's updates stop."


def _simple(
    told: Told,
    curve: Curve,
    caption: str,
    share: bool = False,
    include: tuple[float, ...] = (),
) -> Figure | None:
    values = series(told.lines, curve.key)
    if not values:
        return None
    y = Axis(curve.label, include=(0.0,) if share else include, percent=share)
    drawn = [Series(curve.title, points_of(values))]
    return _figure(told, curve.key.replace("_", "-"), curve.title, caption, y, drawn)


def with_interval(lines: Lines, mean: str, deviation: str, n: int) -> list[Point]:
    spread = dict(series(lines, deviation))
    found: list[Point] = []
    for step, value in series(lines, mean):
        half = Z * spread[step] / math.sqrt(n) if step in spread and n > 1 else None
        bounds = (None, None) if half is None else (value - half, value + half)
        found.append(Point(step, value, *bounds))
    return found
