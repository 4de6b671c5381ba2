"""Writes the generated pages of docs/: `python scripts/docs.py`; with `--check` it only says what is stale.

docs/recipe.md lists every setting, from the schema in core/recipe.py; a setting without a word of
documentation is an error. docs/cli.md is what `--help` of each command says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tutelage.core.recipe import Recipe
from tutelage.core.settings import OptimSettings, PerspectiveSettings, Source

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTICE = "<!-- Made by `python scripts/docs.py`. Change the source and run it again. -->\n"

GROUPS = {
    "model": "Which model, in which precision, where, and what of it is trained.",
    "tokens": "How text and tokens become each other. Part of every artifact's token contract.",
    "data": "Where the rows come from. The formats are in [how-to/your-own-model-and-data.md]"
    "(how-to/your-own-model-and-data.md).",
    "sft": "Supervised fine-tuning.",
    "sample": "Several responses to each prompt, for people or the AI judge to rank.",
    "people": "People who rank responses on the project's pages ([how-to/rate-with-people.md]"
    "(how-to/rate-with-people.md)). No artifact's id depends on these.",
    "judge": "The AI judge, and what it must show before its labels train anything.",
    "reward": "The reward model, which online methods maximise. It is trained only if one of them is named.",
    "referee": "The judge that only evaluates: a reward model trained on other comparisons.",
    "ppo": "Proximal policy optimisation (Schulman et al. 2017; Ouyang et al. 2022, appendix C.4).",
    "rloo": "REINFORCE with the other responses to a prompt as baseline (Ahmadian et al. 2024).",
    "grpo": "Group relative policy optimisation (Shao et al. 2024), with the corrections of Dr. GRPO and DAPO.",
    "rejection": "Rejection sampling fine-tuning: learn the best of several responses (RAFT, Dong et al. 2023).",
    "online_dpo": "DPO on pairs of the policy's own responses (Guo et al. 2024); in `policies` it is `online-dpo`.",
    "dpo": "Direct preference optimisation (Rafailov et al. 2023) and its relatives.",
    "kto": "Kahneman-Tversky optimisation (Ethayarajh et al. 2024).",
    "evaluate": "Base, SFT and every policy measured on prompts that were never trained on.",
    "humans": "Blind evaluation by people ([how-to/evaluate-with-people.md](how-to/evaluate-with-people.md)). No "
    "artifact's id depends on these.",
    "report": "The page with the evidence.",
}

# What a setting's name, type and bounds do not say by themselves. A `description` in the schema goes first.
WORDS = {
    "name": "the recipe's name, for people",
    "seed": "every random draw follows from it",
    "database": "any SQLAlchemy URL; the default is a file in the project, and `postgresql+psycopg://...` a server",
    "ModelSettings.revision": "branch, tag or commit of a hub model; null: its default",
    "ModelSettings.dtype": "auto: bfloat16 where the machine computes in it natively, else float32",
    "ModelSettings.device": "auto: a GPU where there is one",
    "ModelSettings.tune": "adapters on a frozen trunk, or all weights",
    "LoraSettings.rank": "width of the low-rank update",
    "LoraSettings.alpha": "the update is scaled by alpha / rank",
    "TokenSettings.truncation_side": "which end of a last message is cut when it alone is too long",
    "Source.format": "auto looks at the columns of each row",
    "Source.split": "of a hub data set, or files of a folder that carry its name",
    "Source.limit": "the first so many usable rows; null: all",
    "DataSettings.demonstrations": "a list of sources",
    "DataSettings.comparisons": "a list of sources: pairs or rankings",
    "DataSettings.prompts": "a list of sources: what sampling and online methods answer",
    "OptimSettings.learning_rate": "at its peak",
    "OptimSettings.weight_decay": "decoupled, as in AdamW",
    "OptimSettings.beta1": "decay of the first moment",
    "OptimSettings.beta2": "decay of the second moment",
    "OptimSettings.eps": "added to the root of the second moment",
    "OptimSettings.schedule": "after the warm-up",
    "OptimSettings.max_grad_norm": "a longer gradient is scaled down to this norm",
    "SftSettings.epochs": "passes over the demonstrations",
    "SftSettings.checkpoint_every": "steps between checkpoints",
    "SampleSettings.num_prompts": "how many prompts are answered",
    "SampleSettings.responses_per_prompt": "K in K-way ranking",
    "SampleSettings.temperature": "of the softmax that is sampled from",
    "SampleSettings.top_p": "sample from the likeliest tokens that hold this share; 1: from all",
    "JudgeSettings.ai": "whether an AI judge is measured, and used if it passes",
    "JudgeSettings.measure_prompts": "prompts of the measuring split that its agreement is taken on",
    "JudgeSettings.criterion": "the question that it is asked",
    "RewardSettings.loss": "on pairs (margin: with gaps where raters saw them), or on whole rankings with ties",
    "RewardSettings.epochs": "passes over the prompts",
    "RewardSettings.checkpoint_every": "steps between checkpoints",
    "OnlineSettings.iterations": "rounds of sampling and updating",
    "OnlineSettings.temperature": "of sampling, and of the log-probabilities that are trained",
    "OnlineSettings.score_scale": "normalised: mean 0 and deviation 1 on the reward model's training responses",
    "OnlineSettings.held_out_prompts": "prompts that are looked at and never trained on; at most a quarter",
    "GroupSettings.responses_per_prompt": "how many are compared with each other",
    "RewardObjective.clip": "the ratio of probabilities counts between 1 - clip and 1 + clip",
    "PpoObjective.value_clip": "how far a new value may move from the old one",
    "PpoObjective.value_coefficient": "weight of the value loss beside the policy loss",
    "RewardObjective.kl_coefficient": "price of a nat of divergence from the reference, in units of the score",
    "RewardObjective.kl_estimator": "Schulman's estimators, see metrics.md",
    "PpoObjective.gamma": "discount of later rewards",
    "PpoObjective.gae_lambda": "1: plain returns minus values; 0: one-step errors",
    "PpoObjective.whiten_advantages": "mean 0 and deviation 1 over an iteration",
    "EvaluateSettings.temperature": "0 takes the likeliest token each time",
    "EvaluateSettings.batch": "sequences decoded side by side",
    "EvaluateSettings.bootstrap": "resamples behind an interval",
    "ReportSettings.title": "heading of the page",
    "GrpoObjective.clip": "the ratio of probabilities counts between 1 - clip and 1 + clip",
    "GrpoObjective.kl_coefficient": "weight of the KL to the reference in the loss",
    "ReportSettings.side_by_side": "prompts shown with the answers of all models",
}


def settings(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, FieldInfo]]:
    """Every setting below `group` as (dotted name, key of `WORDS`, field); groups inside it are entered."""
    for name, field in group.model_fields.items():
        inner = field.annotation
        if inspect.isclass(inner) and issubclass(inner, BaseModel):
            yield from settings(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{owner(group, name)}.{name}", field


def words(key: str, field: FieldInfo) -> str:
    """What a setting means. Raises `KeyError` for one that nobody has documented."""
    if field.description:
        return field.description
    return WORDS[key.removeprefix("Recipe.")]


def owner(group: type[BaseModel], name: str) -> str:
    """The settings class that first declares a field, so that its words are said once for all that share it."""
    return next(
        one.__name__ for one in reversed(group.__mro__) if name in vars(one).get("__annotations__", {})
    )


def kind(field: FieldInfo) -> str:
    """Type and bounds in words: `whole number, 1 to 9`."""
    annotation: Any = field.annotation
    parts = [a for a in get_args(annotation) if a is not type(None)]
    optional = len(parts) < len(get_args(annotation)) and get_origin(annotation) is not Literal
    if optional:
        annotation = parts[0]
    if get_origin(annotation) is Literal:
        *first, last = (str(a) for a in get_args(annotation))
        text = f"{', '.join(first)} or {last}"
    elif get_origin(annotation) is tuple:
        text = "list"
    elif get_origin(annotation) is dict:
        text = "groups by name"
    else:
        text = {int: "whole number", float: "number", str: "text", bool: "true or false"}[annotation]
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [f"{signs[s]} {getattr(m, s):g}" for m in field.metadata for s in signs if hasattr(m, s)]
    return ", ".join([text, *bounds]) + (", or null" if optional else "")


def recipe_page() -> str:
    """The text of docs/recipe.md."""
    lines = [NOTICE, "# Every setting of a recipe", ""]
    lines += [
        "A recipe is YAML with the groups below. What it leaves out has the value given here, and a setting",
        "that does not exist is an error. On the command line the same names serve as overrides:",
        "`tutelage run ppo.iterations=4`.",
        "",
        *_table([row for row in settings(Recipe, "") if "." not in row[0]], Recipe(name="x").model_dump()),
    ]
    defaults = Recipe(name="x")
    usual = OptimSettings().model_dump()
    for name, about in GROUPS.items():
        group = getattr(defaults, name)
        values = group.model_dump(mode="json")
        lines += ["", f"## {name}", "", about, ""]
        rows = [row for row in settings(type(group), "") if not _is_usual(row[0], values, usual)]
        lines += _table(rows, values)
        if name == "data":
            lines += ["", "A source is one entry of the first three:", ""]
            shown = Source(source="x").model_dump() | {"source": PydanticUndefined}
            lines += _table(list(settings(Source, "")), shown)
        if name == "reward":
            lines += ["", "A perspective is one group of `perspectives`:", ""]
            shown = PerspectiveSettings(categories=("x",)).model_dump() | {"categories": PydanticUndefined}
            lines += _table(list(settings(PerspectiveSettings, "")), shown)
    lines += ["", "## optim", "", "AdamW (Loshchilov and Hutter 2019), inside `sft`, `reward`, `referee` and"]
    lines += ["each method's group; where a group above gives another default, that one holds.", ""]
    lines += _table(list(settings(OptimSettings, "")), usual)
    return "\n".join(lines) + "\n"


def _is_usual(name: str, values: dict[str, Any], usual: dict[str, Any]) -> bool:
    """Whether a setting is one of `optim` with the default that it has everywhere."""
    group, _, last = name.partition(".")
    return group == "optim" and values[group][last] == usual[last]


def _table(rows: list[tuple[str, str, FieldInfo]], defaults: dict[str, Any]) -> list[str]:
    lines = ["| setting | default | is | meaning |", "|---|---|---|---|"]
    for name, key, field in rows:
        value: Any = defaults
        for part in name.split("."):
            value = value[part]
        required = field.is_required() or value is PydanticUndefined
        default = "required" if required else f"`{_yaml(value)}`"
        lines.append(f"| `{name}` | {default} | {kind(field)} | {words(key, field).replace('|', '&#124;')} |")
    return lines


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, dict):
        return "{}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def cli_page() -> str:
    """The text of docs/cli.md: the help of every command and its subcommands."""
    import click

    from tutelage.cli.group import tutelage

    lines = [NOTICE, "# Commands", "", "What `--help` says of each.", ""]

    def show(command: click.Command, path: list[str], above: click.Context | None) -> None:
        settings = {**command.context_settings, "terminal_width": 96}
        context = click.Context(command, info_name=path[-1], parent=above, **settings)
        title = " ".join(path)
        lines.extend(
            [f"{'#' * min(len(path) + 1, 3)} {title}", "", "```", command.get_help(context), "```", ""]
        )
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                show(below, [*path, name], context)

    show(tutelage, ["tutelage"], None)
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"recipe.md": recipe_page, "cli.md": cli_page}


def stale() -> list[str]:
    """Names of generated pages that are not what they would be now."""
    return [name for name, make in PAGES.items() if not _is(DOCS / name, make())]


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def main() -> int:
    if "--check" in sys.argv[1:]:
        found = stale()
        print(
            "\n".join(f"docs/{name} is stale: run python scripts/docs.py" for name in found) or "up to date"
        )
        return 1 if found else 0
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
