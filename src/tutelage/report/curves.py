"""Learning curves of the SFT model, the reward model and the referee."""

from __future__ import annotations

from tutelage.report.figures import Figure, figure, points_of, share_axis, steps
from tutelage.report.numbers import count, number, percent
from tutelage.report.plots import Axis, Guide, Point, Series
from tutelage.report.sources import Estimate, Sources, series


def sft_figures(sources: Sources) -> list[Figure]:
    lines = sources.curves.get("sft", ())
    train, held_out = series(lines, "train_loss"), series(lines, "validation_loss")
    if not train:
        return []
    drawn = [Series("training batch", points_of(train), "one")]
    caption = (
        f"Loss on training batches went from {number(train[0][1])} to {number(train[-1][1])} nats a token."
    )
    if held_out:
        drawn.append(Series("validation", points_of(held_out), "two", "both"))
        step, best = min(held_out, key=lambda at: at[1])
        caption = (
            f"On demonstrations it was not trained on, the loss went from {number(held_out[0][1])} to "
            f"{number(held_out[-1][1])} nats a token and was lowest at step {step} ({number(best)}): those "
            "weights were kept."
        )
        if step < held_out[-1][0]:
            caption += " After that it rose again: a sign of overfitting."
    y = Axis("loss, nats a response token")
    return [figure("sft-loss", "SFT: loss", caption, steps("optimiser step"), y, drawn)]


def reward_figures(sources: Sources, stage: str, name: str) -> list[Figure]:
    lines = sources.curves.get(stage, ())
    loss, accuracy = series(lines, "loss"), series(lines, "accuracy")
    found: list[Figure] = []
    if loss:
        caption = (
            f"Noisy, because each point is one batch; from {number(loss[0][1])} to {number(loss[-1][1])}."
        )
        drawn = [Series("training batch", points_of(loss))]
        x = steps("optimiser step")
        y = Axis("loss, nats a prompt", include=(0.0,))
        found.append(figure(f"{stage}-loss", f"{name}: loss", caption, x, y, drawn))
    if accuracy:
        found.append(_accuracy_figure(sources, stage, name, accuracy, series(lines, "held_out_accuracy")))
    return found


def _accuracy_figure(
    sources: Sources,
    stage: str,
    name: str,
    accuracy: list[tuple[int, float]],
    held_out: list[tuple[int, float]],
) -> Figure:
    final = Estimate.read(sources.measured.get(stage, {}).get("accuracy"))
    drawn = [Series("training batch", points_of(accuracy))]
    caption = "Share of comparisons that the scores order as raters did."
    last = accuracy[-1][0]
    points = [Point(step, value, radius=3.5) for step, value in held_out if final is None or step != last]
    if final is not None:
        points.append(Point(last, final.value, final.low, final.high, 4.5))
        unseen = f"{count(final.n, 'comparison')} it never saw"
        caption += f" What counts is the diamond: {percent(final.value)} on {unseen}."
    if points:
        drawn.append(Series("held out, 95% interval", points, "two", "points"))
    guides = [Guide(0.5, "chance")]
    x = steps("optimiser step")
    return figure(f"{stage}-accuracy", f"{name}: accuracy", caption, x, share_axis("accuracy"), drawn, guides)
