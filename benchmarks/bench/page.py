"""`docs/benchmarks.md` from a record of `runs`: the table, how to read it, and what bounds each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench import rows, runs
from benchmarks.claims import results

PAGE = results.ROOT / "docs" / "benchmarks.md"
NOTICE = "<!-- Made by `python -m benchmarks.bench --page` from benchmarks/results/bench.json. -->"
MODES = {
    "equal": (
        "Equal work",
        "Both sides train the same parameters (LoRA of rank 16 on all linear layers, or all weights) on the same "
        "tokens, in bf16 on the CPU. TRL runs with its defaults, but for gradient checkpointing and mixed precision, "
        "which would only cost it here, and without saving, evaluating or logging. In PPO its critic's trunk is "
        "frozen, since ours has none of its own to train.",
    ),
    "system": (
        "System against system",
        "Each side as its makers would run it on this machine. TRL: the faster of its attention implementations; "
        "PPO as documented, with a critic of its own that is trained whole. Ours: as the shipped recipe has it, so the "
        "reward model's adapters are in its upper 20 layers.",
    ),
}
MEMORY_TITLE = "PPO, peak memory"
NOTHING = "Nothing has been measured yet: `make bench`."
DISTURBED = 0.05


def write() -> str:
    """Write the page anew; returns what was done, in words."""
    record = runs.newest()
    results.write_text(PAGE, text(record))
    return f"{PAGE.relative_to(results.ROOT)} is written"


def text(record: Mapping[str, Any] | None) -> str:
    """The page of a record, or of nothing."""
    lines = [NOTICE, "", "# Speed and memory beside TRL's", ""]
    if record is None:
        return "\n".join([*lines, NOTHING, ""])
    lines += [*_summary(record), ""]
    for mode, (title, words) in MODES.items():
        found = [line for line in record["rows"] if line["mode"] == mode]
        if found:
            lines += [f"## {title}", "", words, "", *_table(found, record), ""]
    return "\n".join([*lines, *_how_to_read(record), "", *_bounds(record), "", *_again(record), ""])


def _summary(record: Mapping[str, Any]) -> list[str]:
    machine, scale = record["machine"], record["scale"]
    paired = f"{scale['pairs']} pair{'s' if scale['pairs'] != 1 else ''}"
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, torch {machine['torch']}, "
        f"transformers {machine['transformers']}"
    )
    said = [
        "SmolLM2-135M-Instruct, the embedded model, by turns with TRL on one machine. Measured with "
        f"`make bench{'' if scale['name'] == 'full' else '-' + scale['name']}` on {record['date'][:10]}: {where}; "
        f"{paired} a row, after {scale['warm_up']} of warm-up; sequences {record['data']} pairs."
    ]
    loud = [line for line in record["rows"] if (line.get("others") or 0.0) > DISTURBED]
    pinned = [
        line for line in record["rows"] if min(line.get("cores") or [machine["threads"]]) < machine["threads"]
    ]
    if pinned:
        said += [
            "",
            "**In some rows a side was held to fewer cores than it has threads**: measure them again.",
        ]
    if loud:
        worst = max(line["others"] for line in loud)
        said += [
            "",
            f"**The machine was not quiet**: in rows marked `*` other processes took up to {worst:.0%} of it.",
        ]
    return said


def _table(found: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> list[str]:
    known = {row.name: row for row in rows.ROWS}
    made = [
        "| | TRL | ours | ratio | smallest to largest pair | asked | floor | ours reaches |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in found:
        memory = line["row"] == rows.MEMORY
        row = known.get(line["row"])
        title = MEMORY_TITLE if memory else row.title if row else line["row"]
        asked = f"at most {rows.ASKED_MEMORY}x" if memory else f"{row.asked:g}x" if row and row.asked else ""
        spread = "" if memory else f"{line['low']:.2f} to {line['high']:.2f}"
        mark = "*" if (line.get("others") or 0.0) > DISTURBED else ""
        mine, theirs = middle(line["ours"]), middle(line["theirs"])
        floor, reached = "", ""
        if line.get("floor"):
            floor = number(line["floor"])
            share = mine / line["floor"] if line["unit"].endswith("/s") else line["floor"] / mine
            reached = f"{share:.0%}"
        cells = [f"{title}, {line['unit']}{mark}", number(theirs), number(mine), f"{line['ratio']:.2f}x"]
        made.append("| " + " | ".join([*cells, spread, asked, floor, reached]) + " |")
    return made


def _how_to_read(record: Mapping[str, Any]) -> list[str]:
    scale, rates = record["scale"], record["rates"]
    return [
        "## How to read it",
        "",
        "- **Ours and TRL** are medians over the pairs. A pair is one repetition of each side on the same tokens, one "
        "right after the other; each side is a process of its own that sleeps while the other works. Repetitions that "
        "warm up are left out, and so is loading.",
        "- **Ratio**: how many times faster we are, the geometric mean of the pairs' ratios; for memory, our peak over "
        "TRL's, so less is better. The spread is that of the pairs, not an interval.",
        f"- **Work**: SFT, reward model and DPO take {scale['batch']} demonstrations or pairs a step, and "
        f"{scale['steps']} steps a repetition. PPO, GRPO and RLOO: {scale['rollouts']} responses of "
        f"{scale['new_tokens']} tokens an iteration ({scale['group']} to a prompt in GRPO and RLOO), "
        f"{scale['epochs']} passes over them, one optimiser step a pass. Decoding: {scale['rollouts']} "
        f"responses side by side, {scale['decode_tokens']} tokens each. Tokens are those of the sequences; "
        "padding, which TRL computes too, is not counted.",
        "- **Floor**: the least that the row's matrix products could take at the machine's own rates, measured in the "
        f"same run: {rates['peak'] / 1e12:.2f} TFLOP/s in bf16 at best, {rates['decoding'] / 1e12:.3f} in a decoding "
        f"step of {scale['rollouts']} rows, which waits for the weights to be read. No token is computed twice in it, "
        "a prompt is shared by its responses, and softmax, norms and the optimiser cost nothing, so it is not reached.",
        "- **Memory** is the largest resident size of the process, libraries and all.",
        "",
        "Floors by formula, with N weights in the layers, V x H in the output head, and T tokens, of which P are in "
        "prompts and R in responses:",
        "",
        *_formulas(record),
    ]


def _formulas(record: Mapping[str, Any]) -> list[str]:
    titles = {row.name: row.title for row in rows.ROWS}
    said: dict[str, list[str]] = {}
    for line in record["rows"]:
        names = said.setdefault(line["formula"], []) if "formula" in line else []
        if (title := titles.get(line["row"], line["row"])) not in names:
            names.append(title)
    return [f"- {'; '.join(names)}: `{formula}`" for formula, names in said.items()]


def _bounds(record: Mapping[str, Any]) -> list[str]:
    there = {line["row"] for line in record["rows"]}
    said = [f"- {row.title}: {row.bound_by or 'not profiled yet.'}" for row in rows.ROWS if row.name in there]
    return ["## What bounds each row", "", *said]


def _again(record: Mapping[str, Any]) -> list[str]:
    minutes = record["seconds"] / 60
    return [
        "## Measure it yourself",
        "",
        f"`make bench` (this run took {minutes:.0f} minutes), or `make bench-quick` for fewer and shorter repetitions "
        "in under 10 minutes. Both make TRL's environments on first use, outside the project. Some rows only: "
        "`python -m benchmarks.bench sft_lora ppo --mode equal`. A run warns if the machine is not quiet. Every "
        "run is kept in `benchmarks/results/bench.json`.",
    ]


def middle(values: Sequence[float]) -> float:
    """The median."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def number(value: float) -> str:
    """Three significant digits, without exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
