"""The recipe: what a project does, as one frozen, checked tree of settings. No torch.

A recipe is YAML. Every field has a type and bounds and fails before any weight is loaded; a field that
does not exist is an error that names the nearest one that does. `recipe_from(path, overrides)` is the
way in; `section(recipe, "ppo")` is what an artifact keeps of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from tutelage.core.errors import RecipeError
from tutelage.core.method_settings import (
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    OnlineDpoSettings,
    OnlineSettings,
    PpoSettings,
    RejectionSettings,
    RlooSettings,
)
from tutelage.core.methods import METHODS
from tutelage.core.settings import (
    DataSettings,
    EvaluateSettings,
    HumansSettings,
    JudgeSettings,
    ModelSettings,
    PeopleSettings,
    ReportSettings,
    RewardSettings,
    SampleSettings,
    Settings,
    SftSettings,
    TokenSettings,
)


class Recipe(Settings):
    """The whole recipe. The order of the groups is the order of the stages."""

    name: str = Field(min_length=1)
    seed: int = Field(default=17, ge=0)
    database: str = "sqlite:///tutelage.db"
    policies: tuple[str, ...] = Field(
        default=("ppo",),
        description=f"methods that train a policy, of {', '.join(METHODS)}; the last one's is the final model",
    )
    model: ModelSettings = ModelSettings()
    tokens: TokenSettings = TokenSettings()
    data: DataSettings = DataSettings()
    sft: SftSettings = SftSettings()
    sample: SampleSettings = SampleSettings()
    people: PeopleSettings = PeopleSettings()
    judge: JudgeSettings = JudgeSettings()
    reward: RewardSettings = RewardSettings()
    referee: RewardSettings = RewardSettings()
    ppo: PpoSettings = PpoSettings()
    rloo: RlooSettings = RlooSettings()
    grpo: GrpoSettings = GrpoSettings()
    rejection: RejectionSettings = RejectionSettings()
    online_dpo: OnlineDpoSettings = OnlineDpoSettings()
    dpo: DpoSettings = DpoSettings()
    kto: KtoSettings = KtoSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    humans: HumansSettings = HumansSettings()
    report: ReportSettings = ReportSettings()

    @property
    def final(self) -> str:
        """The last of the policies: the model that the project is about."""
        return self.policies[-1]

    def online(self, method: str) -> OnlineSettings:
        """The settings of an online method."""
        return cast(OnlineSettings, getattr(self, METHODS[method].group))

    @field_validator("policies", mode="before")
    @classmethod
    def _methods(cls, given: Any) -> Any:
        """One method may be named without a list."""
        many = isinstance(given, (list, tuple))
        named = list(cast(Sequence[Any], given)) if many else [given] if isinstance(given, str) else []
        if not named:
            raise ValueError(f"name at least one method of {', '.join(METHODS)}, such as [ppo]")
        for place, name in enumerate(named):
            if name not in list(METHODS):
                raise ValueError(f"there is no method '{name}': choose from {', '.join(METHODS)}")
            if name in named[:place]:
                raise ValueError(f"'{name}' is named twice: name each method once")
        return tuple(named)

    @model_validator(mode="after")
    def _constraints_have_heads(self) -> Self:
        heads = self.reward.perspectives
        for name in self.policies:
            settings = getattr(self, METHODS[name].group)
            constrained = settings.constraints if isinstance(settings, OnlineSettings) else {}
            if lost := next((one for one in constrained if one not in heads), None):
                known = f"one of {', '.join(heads)}" if heads else "under reward.perspectives, which has none"
                raise ValueError(f"{METHODS[name].group}.constraints names '{lost}': it must be {known}")
            free = [one for one, head in heads.items() if one not in constrained and head.weight > 0]
            if constrained and (not free or self.reward.length_debias):
                raise ValueError(
                    f"{METHODS[name].group}.constraints need a perspective with a weight that is left free, and "
                    "reward.length_debias=false"
                )
        return self

    @model_validator(mode="after")
    def _whole_adapters(self) -> Self:
        for name, judge in (("reward", self.reward), ("referee", self.referee)):
            together = judge.ensemble.members > 1
            if together and self.model.tune == "full":
                raise ValueError(
                    f"an ensemble is adapters on one frozen trunk: set model.tune=lora, "
                    f"or {name}.ensemble.members=1"
                )
            whole = judge.start == "sft" and not together
            if self.model.tune == "lora" and whole and judge.upper_layers is not None:
                raise ValueError(
                    f"{name}.start=sft takes over the SFT adapter whole: set {name}.upper_layers=null"
                )
        return self


Recipe.model_rebuild()


def recipe_from(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a YAML recipe, apply `key=value` overrides (`ppo.iterations=4`), and check all of it.

    Raises `RecipeError` with one sentence that names the file and the field.
    """
    return parse_recipe(apply_overrides(read_yaml(path), overrides), str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `RecipeError` if there is none."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            f"there is no recipe at {path}: run `tutelage init NAME` to make a project"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path} cannot be read as text: {problem}") from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(problem, "problem", None) or "it does not parse"
        raise RecipeError(f"{where} is not valid YAML ({what})") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds no recipe: expected `name: ...` and groups of settings")
    return cast(dict[str, Any], values)


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `values` with each `a.b=value` set; the value is read as YAML."""
    changed = _deep_copy(values)
    for text in overrides:
        key, equals, raw = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"'{text}' is not an override: write key=value, such as ppo.iterations=4")
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError:
            raise RecipeError(f"the value of the override '{text}' is not valid YAML") from None
        spot: dict[str, Any] = changed
        *groups, last = key.strip().split(".")
        for group in groups:
            below: Any = spot.setdefault(group, {})
            if not isinstance(below, dict):
                raise RecipeError(
                    f"the override '{text}' goes into '{group}', which is not a group of settings"
                )
            spot = cast(dict[str, Any], below)
        spot[last] = _number(value)
    return changed


def parse_recipe(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Check `values` against the schema. Raises `RecipeError` naming the first field at fault."""
    try:
        return Recipe.model_validate(_over_defaults(_defaults(), _numbers(values)))
    except ValidationError as problem:
        first = problem.errors()[0]
        path = [str(part) for part in first["loc"]]
        name = ".".join(path)
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{where} has an unknown setting '{name}'{_nearest(path)}") from None
        if first["type"] == "missing":
            raise RecipeError(f"{where} needs the setting '{name}'") from None
        said = first["msg"].removeprefix("Value error, ")
        said = said[0].lower() + said[1:]
        given = "" if isinstance(first["input"], dict) else f" (it is {first['input']!r})"
        raise RecipeError(f"{where}, setting '{name or 'recipe'}': {said}{given}") from None


def section(recipe: Recipe, *groups: str) -> dict[str, Any]:
    """The resolved settings of some groups as JSON-like values: what an artifact keeps of the recipe."""
    return recipe.model_dump(mode="json", include=set(groups))


def _nearest(path: Sequence[str]) -> str:
    group: Any = Recipe
    for part in path[:-1]:
        field = group.model_fields.get(part) if hasattr(group, "model_fields") else None
        if field is None:
            return ""
        group = field.annotation
    names = list(group.model_fields) if hasattr(group, "model_fields") else []
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
    return f": did you mean '{close[0]}'?" if close else f": the settings there are {', '.join(names)}"


def _defaults() -> dict[str, Any]:
    defaults = Recipe(name="defaults").model_dump(mode="json")
    del defaults["name"]
    return defaults


def _over_defaults(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` laid over `defaults`, group by group, so that naming one setting keeps its neighbours'."""
    merged = dict(defaults)
    for key, value in values.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _over_defaults(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _deep_copy(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {k: _deep_copy(v) for k, v in cast(Mapping[str, Any], values).items()}
    return list(cast(list[Any], values)) if isinstance(values, list) else values


def _number(value: Any) -> Any:
    """YAML reads `1e-4` as text (its floats need a dot); a user means a number."""
    if isinstance(value, str):
        try:
            return float(value) if "e" in value.lower() else value
        except ValueError:
            return value
    return value


def _numbers(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {k: _numbers(v) for k, v in cast(Mapping[str, Any], values).items()}
    if isinstance(values, list):
        return [_numbers(v) for v in cast(list[Any], values)]
    return _number(values)
