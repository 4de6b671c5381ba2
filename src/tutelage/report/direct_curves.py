"""Learning curves of direct methods: loss, accuracy, and how far pairs are pulled apart."""

from __future__ import annotations

from tutelage.core.methods import METHODS
from tutelage.report.figures import Figure, figure, points_of, share_axis, steps
from tutelage.report.numbers import count, number, percent
from tutelage.report.plots import Axis, Guide, Point, Series
from tutelage.report.sources import Estimate, Sources, series
from tutelage.stats.intervals import wilson

STEP = steps("optimiser step")
BATCH = "training batch"


def direct_figures(method: str, sources: Sources) -> list[Figure]:
    """The figures of one policy that learned from comparisons."""
    makers = [_loss(method, sources), _accuracy(method, sources), _margin(method, sources)]
    return [figure for figure in makers if figure is not None]


def _loss(method: str, sources: Sources) -> Figure | None:
    loss = series(sources.curves.get(method, ()), "loss")
    if not loss:
        return None
    caption = f"Noisy, because each point is one batch; from {number(loss[0][1])} to {number(loss[-1][1])}."
    drawn = [Series(BATCH, points_of(loss))]
    y = Axis("loss, mean over prompts", include=(0.0,))
    return figure(f"{method}-loss", f"{METHODS[method].label}: loss", caption, STEP, y, drawn)


def _accuracy(method: str, sources: Sources) -> Figure | None:
    accuracy = series(sources.curves.get(method, ()), "accuracy")
    if not accuracy:
        return None
    drawn = [Series(BATCH, points_of(accuracy))]
    caption = "Share of a batch that the policy's implicit reward gets right."
    if (held_out := _held_out(method, sources)) is not None:
        end = Point(accuracy[-1][0], held_out.value, held_out.low, held_out.high, 4.5)
        drawn.append(Series("held-out comparisons, 95% interval", [end], "two", "points"))
        caption += (
            f" What counts is the diamond: the policy orders {percent(held_out.value)} of "
            f"{count(held_out.n, 'comparison')} it never saw as raters did."
        )
    title = f"{METHODS[method].label}: accuracy"
    return figure(
        f"{method}-accuracy", title, caption, STEP, share_axis("accuracy"), drawn, [Guide(0.5, "chance")]
    )


def _held_out(method: str, sources: Sources) -> Estimate | None:
    """The manifest's accuracy on comparisons that trained nothing, with its interval over them."""
    metrics = sources.artifacts[method].metrics if method in sources.artifacts else {}
    share, n = metrics.get("held_out_accuracy"), int(metrics.get("held_out_comparisons") or 0)
    if not isinstance(share, (int, float)) or n < 1:
        return None
    bounds = wilson(share * n, n)
    return Estimate(share, bounds.low, bounds.high, n)


def _margin(method: str, sources: Sources) -> Figure | None:
    """Margins may grow while both sides of pairs lose probability, so both are drawn."""
    lines = sources.curves.get(method, ())
    margin, reward = series(lines, "reward_margin"), series(lines, "implicit_reward")
    if not margin:
        return None
    drawn = [Series("better less worse response", points_of(margin))]
    caption = (
        f"Implicit reward of the better response less the worse's, from {number(margin[0][1])} to "
        f"{number(margin[-1][1])} nats."
    )
    if reward:
        drawn.append(Series("mean of all responses", points_of(reward), "two"))
        gained = _end(reward) + _end(margin) / 2  # the better response's own
        caption += (
            " Both sides of pairs lost probability, to something that nobody compared."
            if gained < 0
            else " The better responses gained probability, which need not be so: margins grow too while both "
            "sides lose it."
        )
    title = f"{METHODS[method].label}: implicit rewards"
    y = Axis("implicit reward, nats", include=(0.0,))
    return figure(f"{method}-margin", title, caption, STEP, y, drawn)


def _end(values: list[tuple[int, float]]) -> float:
    """Mean over the last fifth of the steps, as single batches are noisy."""
    last = values[-max(1, len(values) // 5) :]
    return sum(value for _, value in last) / len(last)
