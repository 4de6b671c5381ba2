"""The settings of each method that trains a policy (`core.methods`): every field with its type, bounds and default."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tutelage.core.settings import OptimSettings, Settings


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


class ConstraintSettings(Settings):
    """What a policy must keep while it is trained for the rest: the Lagrangian of Safe RLHF (Dai et al. 2023)."""

    at_least: float = Field(
        default=0.0,
        description="mean score of its perspective that responses must keep, in deviations from the mean of the "
        "responses that the perspective learnt from",
    )
    start: float = Field(default=1.0, gt=0, description="the multiplier (its weight) at first")
    rate: float = Field(
        default=0.1, gt=0, description="how fast the multiplier's logarithm follows what is missing"
    )
    ceiling: float = Field(default=10.0, gt=0, description="the largest multiplier")

    @model_validator(mode="after")
    def _below_its_ceiling(self) -> Self:
        if self.start > self.ceiling:
            raise ValueError(f"start {self.start:g} is above the ceiling {self.ceiling:g}: start lower")
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
    constraints: dict[str, ConstraintSettings] = Field(
        default_factory=dict[str, ConstraintSettings],
        description="perspectives of the reward model (`reward.perspectives`) to keep up; the others are the reward",
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
