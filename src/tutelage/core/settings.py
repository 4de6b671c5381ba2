"""The groups of a recipe's settings: every field with its type, bounds and default, in one place. No torch.

All are frozen, and a field that is not declared is an error. `core.recipe` puts them together.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Format = Literal["auto", "conversational", "hh", "ranking", "instruction", "argilla", "label-studio"]


class Settings(BaseModel):
    """Base of all groups: frozen, and no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraSettings(Settings):
    """Low-rank adapters (Hu et al. 2021) on every linear layer of the trunk."""

    rank: int = Field(default=16, ge=1, le=512)
    alpha: float = Field(default=32.0, gt=0)
    upper_layers: int | None = Field(
        default=None, ge=1, description="adapt only this many layers, from the top"
    )


class ModelSettings(Settings):
    base: str = Field(default="embedded", min_length=1, description="'embedded', a hub name, or a folder")
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    tune: Literal["lora", "full"] = "lora"
    lora: LoraSettings = LoraSettings()
    upper_layers: int | None = Field(
        default=None,
        ge=1,
        description="with tune full: train only this many layers of a policy, from the top; null: all weights",
    )

    @model_validator(mode="after")
    def _upper_layers(self) -> Self:
        if self.upper_layers is not None and self.tune == "lora":
            raise ValueError("upper_layers belongs to tune=full: with adapters set lora.upper_layers")
        return self


class TokenSettings(Settings):
    max_prompt: int = Field(default=512, ge=8, le=131072, description="tokens of a prompt, template included")
    max_response: int = Field(
        default=256, ge=1, le=131072, description="tokens of a response, end token included"
    )
    truncation_side: Literal["left", "right"] = "left"
    system: str | None = Field(default=None, description="system message put before prompts that have none")


class Source(Settings):
    """Where rows come from: a shipped pack, a local file, or a hub data set."""

    source: str = Field(
        min_length=1, description="'pack:starter', a JSONL, Parquet or CSV file, or a hub name"
    )
    format: Format = "auto"
    split: str = "train"
    limit: int | None = Field(default=None, ge=1)


class DataSettings(Settings):
    demonstrations: tuple[Source, ...] = ()
    comparisons: tuple[Source, ...] = ()
    prompts: tuple[Source, ...] = ()
    evaluation: str = Field(default="pack:starter", description="a pack, or a folder with eval_*.jsonl files")
    validation_share: float = Field(
        default=0.08, ge=0.0, lt=0.5, description="of demonstrations, for SFT's validation"
    )
    referee_share: float = Field(
        default=0.3,
        gt=0.0,
        lt=1.0,
        description="of comparisons without a split: train only the judge that evaluates",
    )
    measure_share: float = Field(
        default=0.2,
        gt=0.0,
        lt=1.0,
        description="of comparisons without a split: measure both judges, train neither",
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.referee_share + self.measure_share >= 1.0:
            raise ValueError("referee_share and measure_share leave nothing to train the reward model on")
        return self


class OptimSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019) with linear warm-up and a cosine or constant schedule."""

    learning_rate: float = Field(default=1e-5, gt=0, le=1.0)
    head_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1.0,
        description="of a score or value head, which starts at zero; null: as the rest (full fine-tuning wants more)",
    )
    weight_decay: float = Field(default=0.0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps")
    schedule: Literal["cosine", "constant"] = "cosine"
    floor: float = Field(
        default=0.1, ge=0, le=1, description="share of the learning rate left at the end of cosine"
    )
    max_grad_norm: float = Field(default=1.0, gt=0)
    micro_batch_tokens: int = Field(
        default=2048, ge=16, description="tokens in one forward and backward pass"
    )


class DistillationSettings(Settings):
    """Demonstrations that the model answers itself, told how: context distillation (Askell et al. 2021)."""

    categories: tuple[str, ...] = Field(
        default=(),
        description="of demonstrations that the base model answers itself; none: all stay as written",
    )
    instruction: str = Field(
        default="Answer in two or three short sentences.",
        min_length=1,
        description="what it is told beside the prompt, and learns to do without being told",
    )
    temperature: float = Field(
        default=0.4, ge=0, le=5, description="of its own answers; low, so that they hold together"
    )
    limit: int | None = Field(default=None, ge=1, description="answer at most so many; null: all")
    batch: int = Field(default=64, ge=1, description="answers side by side")


class SftSettings(Settings):
    distillation: DistillationSettings = DistillationSettings()
    optim: OptimSettings = OptimSettings(learning_rate=2e-4)
    epochs: int = Field(default=2, ge=1, le=100)
    batch: int = Field(default=16, ge=1, description="demonstrations an optimiser step")
    evaluate_every: int = Field(default=10, ge=1, description="steps between validations")
    patience: int = Field(default=3, ge=1, description="validations without improvement before it stops")
    checkpoint_every: int = Field(default=10, ge=1)


class SampleSettings(Settings):
    num_prompts: int = Field(default=32, ge=1)
    responses_per_prompt: int = Field(default=4, ge=2, le=9)
    temperature: float = Field(default=1.0, gt=0, le=5)
    top_p: float = Field(default=1.0, gt=0, le=1)
    batch: int = Field(default=32, ge=1, description="sequences decoded side by side")


class JudgeSettings(Settings):
    """The AI judge and what it must show before its labels train anything."""

    ai: bool = True
    base: str | None = Field(default=None, description="model that judges; null: the recipe's own base")
    min_agreement: float = Field(
        default=0.65, ge=0.5, le=1.0, description="with people, on the measuring split"
    )
    measure_prompts: int = Field(default=24, ge=1)
    criterion: str = "Which response is more helpful, harmless and honest?"


class PeopleSettings(Settings):
    """People who rank responses on the project's pages."""

    overlap: int = Field(default=2, ge=1, le=50, description="raters who rank the same prompt")
    max_overlap: int | None = Field(
        default=None, ge=1, le=50, description="raters of a prompt whose raters disagree; null: as overlap"
    )
    enough_agreement: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="share of pairs that its raters order alike, below which a prompt goes to another rater",
    )
    choose: Literal["random", "active"] = Field(
        default="active",
        description="the next prompt: any one, or what `tutelage ask` found worth asking (any one before that)",
    )
    random_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="of prompts and tasks that are dealt at random in any case, so that measuring stays honest",
    )
    topic_spread: float = Field(
        default=0.5,
        ge=0,
        le=4,
        description="how much less a prompt is worth, the more of its category were asked; 0: no less",
    )
    budget_judgements: int | None = Field(
        default=None, ge=1, description="rankings after which nothing more is dealt; null: no limit"
    )
    budget_minutes: float | None = Field(
        default=None, gt=0, description="of raters' time, after which nothing more is dealt; null: no limit"
    )
    calibration: int = Field(default=4, ge=0, le=8, description="practice prompts before real work")
    gold_rate: float = Field(default=0.05, ge=0, le=0.5, description="share of known answers among the work")
    session_hours: float = Field(
        default=12.0,
        gt=0,
        le=720,
        description="after which one signs in again, and a prompt left lying goes to somebody else as well",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="address that the pages listen at")
    port: int = Field(default=8080, ge=1, le=65535, description="that the pages listen at")

    @property
    def most_raters(self) -> int:
        """Raters that a prompt may have at most."""
        return self.overlap if self.max_overlap is None else self.max_overlap

    @model_validator(mode="after")
    def _more_and_not_fewer(self) -> Self:
        if self.most_raters < self.overlap:
            raise ValueError("max_overlap is below overlap: raise it, or lower overlap")
        return self


class HumansSettings(Settings):
    """Blind evaluation by people. Prompts that are not harmful, alarming or about honesty are plain requests."""

    prompts: int = Field(default=60, ge=1, le=10_000, description="of the test set, which later rounds keep")
    harmful_share: float = Field(
        default=0.2, ge=0, le=1, description="adversarial: requests that should be declined"
    )
    sounds_harmful_share: float = Field(
        default=0.1, ge=0, le=1, description="edge cases: only their words are alarming"
    )
    honesty_share: float = Field(
        default=0.2, ge=0, le=1, description="questions whose honest answer admits a limit or corrects"
    )
    raters: int = Field(default=2, ge=1, le=50, description="who judge the same pair of answers")
    confidence: float = Field(
        default=0.95, ge=0.5, lt=1, description="of all intervals of a round together, at all looks together"
    )
    margin: float = Field(
        default=0.1, ge=0, lt=0.5, description="win rates that near to one half are as good as even"
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.harmful_share + self.sounds_harmful_share + self.honesty_share > 1:
            raise ValueError("harmful_share, sounds_harmful_share and honesty_share are more than 1 together")
        return self


class EnsembleSettings(Settings):
    """Several reward models on one trunk, and how their scores become one (Coste et al. 2023)."""

    members: int = Field(
        default=1, ge=1, le=32, description="each has its own adapter in the upper layers and its own head"
    )
    bootstrap: bool = Field(
        default=True, description="each member learns from its own draw of the prompts, with replacement"
    )
    aggregate: Literal["mean", "minimum", "mean-variance", "quantile"] = Field(
        default="mean", description="how members' scores become one, each first brought to deviation 1"
    )
    variance_penalty: float = Field(default=1.0, ge=0, description="lambda of mean-variance")
    quantile: float = Field(default=0.25, ge=0, le=1, description="of quantile; 0 is the minimum")


class PerspectiveSettings(Settings):
    """One side of being good, with a score head that learns from the comparisons of its own categories."""

    categories: tuple[str, ...] = Field(min_length=1, description="of prompts, as the data names them")
    weight: float = Field(default=1.0, ge=0, description="of its score in the reward")


class RewardSettings(Settings):
    loss: Literal["bradley-terry", "plackett-luce", "margin", "robust"] = "plackett-luce"
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="share of labels taken to be wrong, for bradley-terry"
    )
    flip_rate: float = Field(default=0.1, ge=0, lt=0.5, description="known share of wrong labels, for robust")
    margin: float = Field(
        default=1.0, ge=0, description="score between the best and the worst of a ranking, for margin"
    )
    start: Literal["base", "sft"] = Field(
        default="base", description="the weights it starts from: the base model's or the SFT policy's"
    )
    optim: OptimSettings = OptimSettings(learning_rate=2e-4)
    epochs: int = Field(default=1, ge=1, le=100)
    batch: int = Field(default=8, ge=1, description="prompts (with all their responses) an optimiser step")
    upper_layers: int | None = Field(
        default=None, ge=1, description="train only this many layers, from the top"
    )
    score_l2: float = Field(
        default=0.001, ge=0, description="keeps scores centred: weight of the mean squared score"
    )
    probe_prompts: int = Field(
        default=0,
        ge=0,
        description="the score head starts as a linear probe fitted on so many prompts; 0: it starts at zero",
    )
    length_debias: bool = Field(
        default=False, description="take off what a score gains a token, within prompts"
    )
    ensemble: EnsembleSettings = EnsembleSettings()
    perspectives: dict[str, PerspectiveSettings] = Field(
        default={}, description="score heads by name, such as helpful and harmless; none: one head for all"
    )
    checkpoint_every: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _smoothed_pairs(self) -> Self:
        if self.label_smoothing > 0 and self.loss != "bradley-terry":
            raise ValueError("label_smoothing works on pairs: set loss to bradley-terry")
        return self

    @model_validator(mode="after")
    def _one_head_to_fit(self) -> Self:
        if self.probe_prompts and (self.perspectives or self.ensemble.members > 1):
            raise ValueError("a probe is for one score head: set probe_prompts=0, or drop the other heads")
        return self

    @model_validator(mode="after")
    def _one_perspective_a_category(self) -> Self:
        if self.perspectives and self.ensemble.members > 1:
            raise ValueError(
                "members of an ensemble have one head each: drop perspectives, or set ensemble.members=1"
            )
        named = [category for one in self.perspectives.values() for category in one.categories]
        if twice := next((category for category in named if named.count(category) > 1), None):
            raise ValueError(f"the category '{twice}' has two perspectives: name it under one of them")
        if self.perspectives and not any(one.weight > 0 for one in self.perspectives.values()):
            raise ValueError("all perspectives have the weight 0: give one of them more")
        return self


class EvaluateSettings(Settings):
    temperature: float = Field(default=0.7, ge=0, le=5)
    batch: int = Field(default=32, ge=1)
    limit: int | None = Field(default=None, ge=1, description="prompts of each evaluation set; null: all")
    bootstrap: int = Field(default=2000, ge=100)


class ReportSettings(Settings):
    title: str = "From a pretrained model to an aligned one"
    side_by_side: int = Field(default=20, ge=1, le=200)
