"""How our time and memory grow with the size of the work: `python -m benchmarks.bench.growth [AXIS ...] [--smoke]`.

Along each axis one number of the work grows and the rest stays; every point is a process of its own, so that
its memory is its own too. Beside the tables stands how steep the growth is: the slope of log seconds against
log size between the two largest points, 1 where twice the work takes twice the time. Results go to
`benchmarks/results/growth.json`, `docs/growth.md` and `docs/images/growth-AXIS.svg`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench import runs, workloads
from benchmarks.bench.page import middle, number
from benchmarks.bench.rows import EQUAL
from benchmarks.bench.sides import Others, Side
from benchmarks.claims import results

FILE = results.FOLDER / "growth.json"
PAGE = results.ROOT / "docs" / "growth.md"
PICTURES = results.ROOT / "docs" / "images"
SHORT = workloads.Scale("growth", 2, 1, 1, 8, 32, 4, 32, 2, 64)
SIZES = {"5M": (6, 96), "15M": (12, 192), "55M": (20, 384), "135M": (30, 576), "240M": (60, 576)}
"""Layers and width; the last has the embedded model's width and twice its layers."""
PROMPT, RESPONSE = 64, 64


@dataclass(frozen=True)
class Axis:
    """What grows, the values that it takes, and which rows are measured at each of them."""

    name: str
    title: str
    values: tuple[int, ...]
    rows: tuple[str, ...]
    shape: Callable[[workloads.Scale, int], workloads.Scale]
    expected: str


AXES = (
    Axis(
        "response",
        "tokens of a response",
        (32, 64, 128, 256, 512, 1024),
        ("sft_lora", "decode"),
        lambda scale, n: replace(scale, decode_tokens=n),
        "linear, and above that by the share of attention, which grows with the square",
    ),
    Axis(
        "batch",
        "sequences a step",
        (8, 16, 32, 64, 128, 256),
        ("sft_lora",),
        lambda scale, n: replace(scale, batch=n),
        "linear in time; flat in memory, since a pass takes a fixed number of tokens",
    ),
    Axis(
        "samples",
        "responses to a prompt",
        (1, 2, 3, 4, 6, 9),
        ("decode",),
        lambda scale, n: replace(scale, rollouts=8, group=n),
        "at most linear: a prompt is read once, and rows share the reading of the weights",
    ),
    Axis(
        "model",
        "millions of parameters",
        tuple(int(name[:-1]) for name in SIZES),
        ("sft_lora", "decode"),
        lambda scale, n: scale,
        "at most linear",
    ),
)


def measure(
    axis: Axis, values: Sequence[int], base: workloads.Scale, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A point a value and row: median seconds of a repetition, peak memory, and what others took meanwhile."""
    return [point for value in values for point in _points(axis, value, base, say)]


def _points(
    axis: Axis, value: int, base: workloads.Scale, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    modules = {"sft_lora": "ours_offline", "decode": "ours_decode"}
    scale = axis.shape(base, value)
    with tempfile.TemporaryDirectory() as folder:
        work = _work(axis, value, scale, Path(folder))
        path = Path(folder) / "work.json"
        path.write_text(json.dumps(work), encoding="utf-8")
        for row in axis.rows:
            with Side(Path(sys.executable), modules[row], [str(path), row, EQUAL]) as side:
                others = Others([side])
                taken = [side.measure() for _ in range(scale.repetitions)][scale.warm_up :]
                share = others.share()
            point = {"axis": axis.name, "row": row, "value": value, "seconds": middle(taken)}
            say(f"{axis.title} {value}, {row}: {point['seconds']:.2f} s, {side.peak_gb:.2f} GB")
            yield {**point, "peak_gb": round(side.peak_gb, 3), "others": share}


def _work(axis: Axis, value: int, scale: workloads.Scale, folder: Path) -> dict[str, Any]:
    """The work of a point; the model is the embedded one, or on that axis a random one of the size."""
    work = runs.workload(scale)
    response = value if axis.name == "response" else RESPONSE
    dice = random.Random(value)
    draw = lambda count: [dice.randrange(workloads.FIRST_TOKEN, work["vocabulary"]) for _ in range(count)]  # noqa: E731
    for batch in work["batches"]:
        batch[:] = [(draw(PROMPT), draw(response), draw(1)) for _ in batch]
    work["prompts"] = [[draw(PROMPT) for _ in batch] for batch in work["prompts"]]
    if axis.name == "samples":
        work["samples"] = value
    if axis.name == "model":
        work["model"] = str(random_model(Path(work["model"]), *SIZES[f"{value}M"], folder / "model"))
    return work


def random_model(like: Path, layers: int, width: int, folder: Path) -> Path:
    """A model of random weights with the tokenizer of another and the proportions of its layers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(like)
    heads = max(3, width // 64)
    config.update(
        {
            "num_hidden_layers": layers,
            "hidden_size": width,
            "intermediate_size": width * 8 // 3,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 3,
            "head_dim": width // heads,
        }
    )
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention"] * layers
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(like).save_pretrained(folder)
    return folder


def slope(points: Sequence[Mapping[str, Any]], key: str = "seconds") -> float:
    """Of log `key` against log value, between the two points of the largest values."""
    a, b = sorted(points, key=lambda p: p["value"])[-2:]
    return math.log(b[key] / a[key]) / math.log(b["value"] / a["value"])


def text(record: Mapping[str, Any]) -> str:
    """The page of a record."""
    machine = record["machine"]
    lines = [
        "<!-- Made by `python -m benchmarks.bench.growth`. -->",
        "",
        "# How time and memory grow",
        "",
        f"Ours alone, SmolLM2-135M-Instruct or models of random weights, on {machine['cpu']}, "
        f"{machine['cores']} cores, torch {machine['torch']}, {record['date'][:10]}. SFT trains LoRA adapters on "
        f"sequences of {PROMPT} + {RESPONSE} tokens; decoding starts "
        "from prompts of the same length. Every point is a process of its own.",
    ]
    for axis in AXES:
        found = [p for p in record["points"] if p["axis"] == axis.name]
        if found:
            lines += ["", *_section(axis, found)]
    return "\n".join([*lines, ""])


def _section(axis: Axis, found: Sequence[Mapping[str, Any]]) -> list[str]:
    by_row = {row: [p for p in found if p["row"] == row] for row in axis.rows}
    names = {"sft_lora": "SFT, LoRA", "decode": "decoding"}
    head = "".join(f" {names[row]}, s | {names[row]}, GB |" for row in axis.rows)
    lines = [f"## {axis.title}", "", f"![Time against {axis.title}](images/growth-{axis.name}.svg)", ""]
    lines += [f"| {axis.title} |{head}", "|---|" + "---|---|" * len(axis.rows)]
    for value in sorted({p["value"] for p in found}):
        here = {p["row"]: p for p in found if p["value"] == value}
        cells = "".join(
            f" {number(here[r]['seconds'])} | {number(here[r]['peak_gb'])} |" for r in axis.rows if r in here
        )
        lines.append(f"| {value} |{cells}")
    steep = [f"{names[row]} {slope(points):.2f}" for row, points in by_row.items() if len(points) > 1]
    if steep:
        lines += [
            "",
            f"Steepness between the two largest: {', '.join(steep)}. To be expected: {axis.expected}.",
        ]
    return lines


def picture(axis: Axis, found: Sequence[Mapping[str, Any]]) -> str:
    """A drawing of both time and memory against the axis, relative to its smallest point; self-contained."""
    from tutelage.report.plots import Axis as Scale
    from tutelage.report.plots import Point, Series, chart
    from tutelage.report.theme import css_variables

    series: list[Series] = []
    tones = iter(("one", "two", "three", "four"))
    for row, name in (("sft_lora", "SFT"), ("decode", "decoding")):
        for key, what in (("seconds", "time"), ("peak_gb", "memory")):
            points = sorted((p for p in found if p["row"] == row), key=lambda p: p["value"])
            if points:
                drawn = [Point(float(p["value"]), p[key] / points[0][key]) for p in points]
                series.append(Series(f"{name}, {what}", drawn, next(tones), "both"))
    said = f"Time of a repetition and peak memory against {axis.title}, relative to the smallest."
    x, y = Scale(axis.title, low=0.0), Scale("times that of the smallest", low=0.0)
    drawing = chart(f"growth-{axis.name}", f"Growth with {axis.title}", said, x, y, series)
    style = (
        f"<style>{css_variables()}text{{font:12px var(--font);fill:var(--quiet)}}.grid{{stroke:var(--grid)}}"
        ".axis{stroke:var(--quiet)}.line{fill:none;stroke:var(--tone);stroke-width:1.8}.mark{fill:var(--tone)}"
        ".ink{fill:var(--ink)}</style>"
    )
    return drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "<title", style + "<title", 1
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench.growth", description=__doc__)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=", ".join(axis.name for axis in AXES))
    parser.add_argument("--smoke", action="store_true", help="two small points an axis; nothing is kept")
    given = parser.parse_args(arguments)
    if unknown := set(given.axes) - {axis.name for axis in AXES}:
        print(f"error: there is no axis {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    base = replace(SHORT, pairs=1, batch=2, rollouts=4, decode_tokens=4) if given.smoke else SHORT
    say = lambda said: print(said, file=sys.stderr, flush=True)  # noqa: E731
    axes = [axis for axis in AXES if not given.axes or axis.name in given.axes]
    points = [
        p for axis in axes for p in measure(axis, axis.values[:2] if given.smoke else axis.values, base, say)
    ]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"date": now, "code": results.revision(), "machine": results.machine(), "scale": asdict(base)}
    record["points"] = points
    if given.smoke:
        print(text(record))
        return 0
    content = results.read(FILE)
    content["runs"].append(record)
    results.write_text(FILE, json.dumps(content, indent=1) + "\n")
    results.write_text(PAGE, text(record))
    for axis in axes:
        results.write_text(
            PICTURES / f"growth-{axis.name}.svg", picture(axis, [p for p in points if p["axis"] == axis.name])
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
