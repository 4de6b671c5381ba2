"""The groups of a recipe's settings: every field with its type, bounds and default, in one place. No torch.

All are frozen, and a field that is not declared is an error. `core.recipe` puts them together.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

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


class SftSettings(Settings):
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


class OnlineSettings(Settings):
    """What methods share that learn from their own samples."""

    optim: OptimSettings = OptimSettings(learning_rate=1e-4, schedule="constant")
    iterations: int = Field(default=20, ge=1)
    rollouts: int = Field(default=32, ge=1, description="responses an iteration")
    minibatch: int = Field(default=16, ge=1, description="responses an optimiser step")
    epochs: int = Field(default=2, ge=1, le=16, description="passes over the rollouts of an iteration")
    temperature: float = Field(default=1.0, gt=0, le=5)
    max_update_kl: float | None = Field(
        default=0.2, gt=0, description="nats a token; an iteration's updates stop above"
    )
    stop_kl: float | None = Field(
        default=None, gt=0, description="nats a response to the reference; the run ends above"
    )
    category_shares: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict[str, float],
        description="share of prompts that each named category is given; the rest keep their balance",
    )
    score_scale: Literal["normalised", "raw"] = "normalised"
    checkpoint_every: int = Field(default=1, ge=1, description="iterations")
    evaluate_every: int = Field(default=5, ge=1, description="iterations between looks at held-out prompts")
    held_out_prompts: int = Field(default=16, ge=0)

    @property
    def learnt(self) -> int:
        """Responses of an iteration that are learnt from, at most."""
        return self.rollouts

    @property
    def minibatches(self) -> int:
        """Optimiser steps of one pass over an iteration, at most."""
        return -(-self.learnt // self.minibatch)


def _require_whole_groups(rollouts: int, responses_per_prompt: int) -> None:
    if rollouts % responses_per_prompt:
        raise ValueError("rollouts must be a multiple of responses_per_prompt")


class PpoSettings(OnlineSettings):
    """Proximal policy optimisation (Schulman et al. 2017; Ouyang et al. 2022, appendix C.4)."""

    value_trains_trunk: bool = Field(
        default=False, description="let the value loss reach the policy's own weights"
    )
    value_warmup: int = Field(
        default=0, ge=0, description="first iterations, in which the value head learns alone"
    )
    responses_per_prompt: int = Field(
        default=1,
        ge=1,
        le=64,
        description="above 1, a score is told against the mean of the prompt's other responses",
    )
    objective: PpoObjective = Field(default_factory=lambda: PpoObjective())

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        _require_whole_groups(self.rollouts, self.responses_per_prompt)
        return self


class RewardObjective(Settings):
    """How a score becomes a reward: the KL penalty, and what else is taken off."""

    clip: float = Field(default=0.2, gt=0, lt=1)
    kl_coefficient: float = Field(default=0.1, ge=0)
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    kl_controller: Literal["fixed", "adaptive", "target"] = Field(
        default="fixed",
        description="of the KL coefficient: as it is, steered slowly (Ziegler et al. 2019), or holding kl_target",
    )
    kl_target: float = Field(default=6.0, gt=0, description="nats a response, for adaptive and target")
    kl_horizon: float = Field(default=10000.0, gt=0, description="responses, for the adaptive controller")
    kl_gain: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="for target: by how much the coefficient's logarithm moves in an iteration at twice kl_target",
    )
    no_end_penalty: float = Field(
        default=1.0, ge=0, description="taken off the score of a response cut at its limit"
    )
    truncated_importance: float = Field(
        default=2.0, ge=1, description="cap on trainer over sampler probability"
    )

    @model_validator(mode="after")
    def _can_be_steered(self) -> Self:
        if self.kl_controller != "fixed" and self.kl_coefficient == 0:
            raise ValueError(
                f"the {self.kl_controller} controller multiplies kl_coefficient: start it above 0"
            )
        return self


class PpoObjective(RewardObjective):
    value_clip: float = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=1.0, ge=0)
    gamma: float = Field(default=1.0, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    whiten_advantages: bool = True
    pretraining_coefficient: float = Field(
        default=0.0,
        ge=0,
        description="weight of the loss on demonstrations beside PPO's (PPO-ptx); 0: none",
    )


class GroupSettings(OnlineSettings):
    """What methods share that compare several responses to one prompt."""

    responses_per_prompt: int = Field(default=4, ge=2, le=64)

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        _require_whole_groups(self.rollouts, self.responses_per_prompt)
        return self


class RlooSettings(GroupSettings):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024)."""

    epochs: int = Field(default=1, ge=1, le=16, description="passes over the rollouts of an iteration")
    objective: RewardObjective = RewardObjective(kl_coefficient=0.05)


class GrpoSettings(GroupSettings):
    """Group relative policy optimisation (Shao et al. 2024), with the corrections of Dr. GRPO and DAPO."""

    responses_per_prompt: int = Field(default=8, ge=2, le=64)
    objective: GrpoObjective = Field(default_factory=lambda: GrpoObjective())


class GrpoObjective(Settings):
    advantages: Literal["normalised", "centred"] = Field(
        default="centred", description="normalised: over the group's deviation, as first published"
    )
    weights: Literal["token", "response", "constant"] = Field(
        default="constant", description="what a token weighs: DAPO's, the first published, Dr. GRPO's way"
    )
    clip: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float | None = Field(default=None, gt=0, description="upper clip; null: as clip (DAPO: 0.28)")
    kl_coefficient: float = Field(default=0.04, ge=0)
    kl_estimator: Literal["k2", "k3"] = Field(
        default="k3", description="as a loss; k2 has the gradient of KL(policy || reference)"
    )
    drop_uninformative: bool = Field(
        default=False, description="leave out prompts whose responses all score the same"
    )
    overlong_buffer: int | None = Field(
        default=None, ge=1, description="tokens before the limit over which a penalty grows to 1 (DAPO)"
    )
    no_end_penalty: float = Field(
        default=1.0, ge=0, description="taken off the score of a response cut at its limit"
    )
    truncated_importance: float = Field(
        default=2.0, ge=1, description="cap on trainer over sampler probability"
    )


class RejectionSettings(GroupSettings):
    """Rejection sampling fine-tuning: learn the best of several responses (RAFT, Dong et al. 2023)."""

    responses_per_prompt: int = Field(default=8, ge=2, le=64)
    epochs: int = Field(default=1, ge=1, le=100, description="passes over what an iteration keeps")
    max_update_kl: float | None = Field(
        default=None, gt=0, description="nats a token; an iteration's updates stop above"
    )
    top_share: float = Field(
        default=1.0, gt=0, le=1, description="of the prompts, those whose best response scores highest"
    )
    min_score: float | None = Field(default=None, description="keep no response that scores less")
    no_end_penalty: float = Field(
        default=1.0, ge=0, description="taken off the score of a response cut at its limit"
    )

    @property
    def learnt(self) -> int:
        """Responses of an iteration that are kept, at most."""
        return max(1, round(self.top_share * (self.rollouts // self.responses_per_prompt)))


class OnlineDpoSettings(GroupSettings):
    """DPO on pairs of the policy's own responses, labelled by the reward model (Guo et al. 2024)."""

    responses_per_prompt: int = Field(default=2, ge=2, le=64)
    epochs: int = Field(default=1, ge=1, le=16, description="passes over the pairs of an iteration")
    beta: float = Field(default=0.1, gt=0, description="weight of the KL to the reference")
    labels: Literal["hard", "soft", "drawn"] = Field(
        default="hard",
        description="the higher score is better; so with Bradley-Terry's probability; or drawn by it",
    )
    no_end_penalty: float = Field(
        default=1.0, ge=0, description="taken off the score of a response cut at its limit"
    )

    @property
    def learnt(self) -> int:
        """Responses of an iteration that are learnt from: the best and the worst to each prompt."""
        return 2 * (self.rollouts // self.responses_per_prompt)

    @model_validator(mode="after")
    def _whole_pairs(self) -> Self:
        if self.minibatch % 2:
            raise ValueError("minibatch must be even: a pair is learnt from together")
        return self


class DirectSettings(Settings):
    """What methods share that learn from comparisons without a reward model."""

    beta: float = Field(default=0.1, gt=0, description="weight of the KL to the reference")
    length_normalised: bool = Field(default=False, description="log-probabilities a token, not a response")
    optim: OptimSettings = OptimSettings(learning_rate=5e-5)
    epochs: int = Field(default=1, ge=1, le=100, description="passes over the comparisons")
    batch: int = Field(default=8, ge=1, description="prompts (with all their responses) an optimiser step")
    checkpoint_every: int = Field(default=10, ge=1, description="steps between checkpoints")


class DpoSettings(DirectSettings):
    """Direct preference optimisation (Rafailov et al. 2023) and its relatives."""

    loss: Literal["dpo", "plackett-luce", "ipo", "robust"] = Field(
        default="dpo",
        description="on pairs, on whole rankings, bounded (Azar et al. 2023), or with a known flip_rate",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="share of labels taken to be wrong (conservative DPO)"
    )
    flip_rate: float = Field(default=0.1, ge=0, lt=0.5, description="known share of wrong labels, for robust")


class KtoSettings(DirectSettings):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024)."""

    desirable_weight: float = Field(default=1.0, gt=0, description="of responses that won")
    undesirable_weight: float = Field(default=1.0, gt=0, description="of responses that lost")


class EvaluateSettings(Settings):
    temperature: float = Field(default=0.7, ge=0, le=5)
    batch: int = Field(default=32, ge=1)
    limit: int | None = Field(default=None, ge=1, description="prompts of each evaluation set; null: all")
    bootstrap: int = Field(default=2000, ge=100)


class ReportSettings(Settings):
    title: str = "From a pretrained model to an aligned one"
    side_by_side: int = Field(default=20, ge=1, le=200)


PpoSettings.model_rebuild()
GrpoSettings.model_rebuild()
