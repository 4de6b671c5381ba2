"""Checking data before anything is trained: a recipe's sources, or files by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.core.settings import DataSettings
from tutelage.data.checks import DataReport, check_data
from tutelage.data.formats import comparison_format, demonstration_format
from tutelage.data.load import load_comparisons, load_demonstrations, load_evaluation, load_prompts
from tutelage.data.packs import FILES, PREFIX, pack_folder
from tutelage.data.rows import Row, read_rows
from tutelage.data.splits import split_comparisons


def check_recipe_data(settings: DataSettings, base: Path) -> DataReport:
    """Check all that a recipe's data settings name, evaluation sets included. Raises `DataError`."""
    found = (
        load_demonstrations(settings.demonstrations, base=base),
        load_comparisons(settings.comparisons, base=base),
        load_prompts(settings.prompts, base=base),
    )
    return check_data(
        demonstrations=found[0].records,
        judged=split_comparisons(found[1].records, settings.referee_share, settings.measure_share),
        prompts=found[2].records,
        evaluation=load_evaluation(settings.evaluation, base),
        set_aside=[row for one in found for row in one.set_aside],
    )


def check_files(names: Sequence[str], base: Path) -> DataReport:
    """Check files, hub data sets or packs (`pack:NAME`), each read as what its first row looks like."""
    groups: dict[str, list[dict[str, str]]] = {"demonstrations": [], "comparisons": [], "prompts": []}
    evaluation = "pack:starter"
    for name in names:
        if name.startswith(PREFIX):
            evaluation = name
            for group, file in FILES.items():
                if (pack_folder(name) / file).exists():
                    groups[group].append({"source": name})
        else:
            groups[kind_of(name, base)].append({"source": name})
    return check_recipe_data(DataSettings.model_validate({**groups, "evaluation": evaluation}), base)


def kind_of(name: str, base: Path) -> str:
    """`demonstrations`, `comparisons` or `prompts`, by the columns of the first row that can be read."""
    for row in read_rows(name, base=base):
        if isinstance(row, Row):
            if comparison_format(row.values) is not None:
                return "comparisons"
            return "prompts" if demonstration_format(row.values) is None else "demonstrations"
    raise DataError(f"{name} has no row that can be read: see the formats in the documentation")
