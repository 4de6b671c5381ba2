"""Every method arrives at the known optimum of its own objective, on the small spaces of `benchmarks.spaces`.

PPO has rows of its own in the main job. RLOO and DPO share its optimum pi_ref exp(r / beta) / Z, and so does
online DPO if the labels are Bradley-Terry's, as here; with labels that are certain it has none that is finite.
A controller that holds the KL at a target leads to the same form, at the beta whose KL is the target. PPO's
pretraining mix is given all answers evenly as its text, and its optimum is found by bisection. A round of
rejection sampling ends at best of K of the policy before it, so two rounds of two end at best of four. GRPO's
KL stands in the loss: with k2 it has that optimum too, with k3 the one of KL(pi_ref || pi); its advantages
less the group's mean are (K - 1) / K of what they estimate, so beta is made smaller by as much. On a tree
GRPO's KL leaves out that a token changes which contexts come after it, so it is measured on the bandit.
IPO has how often a response is preferred in the place of its reward. Robust DPO is given flipped labels.
Reported is the worst of the seeds, and as interval the range over them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement

if TYPE_CHECKING:
    from benchmarks.spaces import Space

SEEDS = (0, 1, 2)
BANDIT, TREE = (12, 1, 0.5), (4, 3, 1.0)
"""Tokens of the vocabulary, tokens of a response, and beta, as in PPO's rows."""
GROUP = 4
FLIPPED = 0.2
TARGET = 0.3
"""The KL that is held, in nats."""
MIX = 0.3
"""PPO's pretraining coefficient."""


@dataclass(frozen=True)
class Case:
    """A method on a space: how it is trained, and the optimum by its name in `benchmarks.spaces`.

    `given` is what the optimum depends on beside the space.
    """

    words: str
    size: tuple[int, int, float]
    train: Callable[[Space, int, Path], Any]
    best: str = "optimum"
    given: dict[str, Any] = field(default_factory=dict[str, Any])


def _online(method: str, rate: float, **objective: Any) -> Callable[[Space, int, Path], Any]:
    def train(space: Space, seed: int, folder: Path) -> Any:
        from benchmarks.spaces import PROMPT, actors_for, settling
        from tutelage.core.method_settings import GrpoSettings, RlooSettings
        from tutelage.core.recorder import Recorder
        from tutelage.training.grpo import train_grpo
        from tutelage.training.rloo import train_rloo

        actors = actors_for(space, seed + 1)
        actors.value = None
        schema, run = (RlooSettings, train_rloo) if method == "rloo" else (GrpoSettings, train_grpo)
        values = {**settling(200, 512, rate), "responses_per_prompt": GROUP, "epochs": 1}
        # GRPO's advantages, less the mean of their own group, are this much smaller than what they estimate.
        beta = space.beta if method == "rloo" else space.beta * (GROUP - 1) / GROUP
        wanted = {"no_end_penalty": 0.0, "kl_coefficient": beta, **objective}
        settings = schema.model_validate({**values, "objective": wanted})
        where = {"folder": folder, "recorder": Recorder(method), "seed": seed}
        run(actors, [PROMPT] * 128, [], settings, **where)  # type: ignore[arg-type]
        return actors

    return train


def _direct(loss: str, flipped: float = 0.0) -> Callable[[Space, int, Path], Any]:
    def train(space: Space, seed: int, folder: Path) -> Any:
        import dataclasses

        from benchmarks.spaces import actors_for, every_pair
        from tutelage.core.method_settings import DpoSettings
        from tutelage.core.recorder import Recorder
        from tutelage.training.direct import Learner
        from tutelage.training.dpo import train_dpo

        actors, clean = actors_for(space, seed + 1), every_pair(space)
        noisy = tuple((i, j, p * (1 - flipped) + (1 - p) * flipped, w) for i, j, p, w in clean.pairs)
        examples = [dataclasses.replace(clean, pairs=noisy)] * 100
        optim = {"learning_rate": 1e-2, "floor": 0.0, "micro_batch_tokens": 10**6}
        values = {
            "loss": loss,
            "beta": space.beta,
            "flip_rate": flipped,
            "epochs": 4,
            "batch": 1,
            "optim": optim,
        }
        settings = DpoSettings.model_validate({**values, "checkpoint_every": 10**6})
        learner = Learner(actors.policy, None, actors.reference, None)
        train_dpo(learner, examples, [], settings, folder=folder, recorder=Recorder(loss), seed=seed)
        return actors

    return train


def _sampled(
    method: str, iterations: int, rollouts: int, rate: float, **changes: Any
) -> Callable[[Space, int, Path], Any]:
    """Rejection sampling or online DPO."""

    def train(space: Space, seed: int, folder: Path) -> Any:
        from benchmarks.spaces import PROMPT, actors_for, settling
        from tutelage.core.method_settings import OnlineDpoSettings, RejectionSettings
        from tutelage.core.recorder import Recorder
        from tutelage.training.online_dpo import train_online_dpo
        from tutelage.training.rejection import train_rejection

        actors = actors_for(space, seed + 1)
        actors.value = None
        values = {**settling(iterations, rollouts, rate), "no_end_penalty": 0.0, **changes}
        where = {"folder": folder, "recorder": Recorder(method), "seed": seed}
        if method == "rejection":
            settings = RejectionSettings.model_validate(values)
            train_rejection(actors, [PROMPT], [], settings, **where)  # type: ignore[arg-type]
        else:
            pairs = OnlineDpoSettings.model_validate({**values, "beta": space.beta})
            train_online_dpo(actors, [PROMPT], [], pairs, **where)  # type: ignore[arg-type]
        return actors

    return train


def _mixed(space: Space, seed: int, folder: Path) -> Any:
    """PPO with its pretraining mix."""
    from benchmarks.spaces import PROMPT, actors_for, settings_for
    from tutelage.core.method_settings import PpoSettings
    from tutelage.core.recorder import Recorder
    from tutelage.training.ppo import train_ppo

    actors, told = actors_for(space, seed + 1), settings_for(space, 150, 252, 4e-3).model_dump()
    # Whitening would divide the reward's part by the advantages' deviation, and not the mix.
    told["objective"] |= {"whiten_advantages": False, "pretraining_coefficient": MIX}
    settings, rows = PpoSettings.model_validate(told), [(PROMPT, answer) for answer in space.responses]
    recorder = Recorder("ppo")
    train_ppo(actors, [PROMPT], [], settings, folder=folder, recorder=recorder, seed=seed, pretraining=rows)
    return actors


CASES = {
    "rloo_bandit": Case("RLOO on a bandit", BANDIT, _online("rloo", 6e-3)),
    "rloo_tree": Case("RLOO on a tree of 3 tokens", TREE, _online("rloo", 2e-3)),
    "rloo_target": Case(
        f"RLOO on a bandit with the KL held at {TARGET} nats, whose optimum is the most reward at that KL",
        BANDIT,
        _online("rloo", 6e-3, kl_controller="target", kl_target=TARGET, kl_coefficient=2.0),
        "constrained_optimum",
        {"target": TARGET},
    ),
    "ppo_mix": Case(
        f"PPO with a pretraining mix of {MIX} on a bandit",
        BANDIT,
        _mixed,
        "pretraining_optimum",
        {"coefficient": MIX},
    ),
    "rejection_rounds": Case(
        "two rounds of rejection sampling from two answers, whose optimum is best of four",
        BANDIT,
        _sampled("rejection", 2, 4096, 1e-2, responses_per_prompt=2, epochs=60),
        "best_of_n_optimum",
        {"n": 4},
    ),
    "online_dpo_bandit": Case(
        "online DPO on a bandit, labels by Bradley-Terry",
        BANDIT,
        _sampled("online-dpo", 200, 256, 1e-2, responses_per_prompt=GROUP, labels="soft"),
    ),
    "online_dpo_tree": Case(
        "online DPO on a tree of 3 tokens, labels by Bradley-Terry",
        TREE,
        _sampled(
            "online-dpo",
            200,
            512,
            2e-3,
            responses_per_prompt=GROUP,
            labels="soft",
            epochs=4,
            max_update_kl=None,
        ),
    ),
    "grpo_k2": Case("GRPO with k2 on a bandit", BANDIT, _online("grpo", 6e-3, kl_estimator="k2")),
    "grpo_k3": Case(
        "GRPO with k3 on a bandit, whose optimum is beta pi_ref / (lambda - r)",
        BANDIT,
        _online("grpo", 6e-3, kl_estimator="k3"),
        "covering_optimum",
    ),
    "dpo_bandit": Case("DPO on a bandit", BANDIT, _direct("dpo")),
    "dpo_tree": Case("DPO on a tree of 3 tokens", TREE, _direct("dpo")),
    "ipo_bandit": Case(
        "IPO on a bandit, whose optimum is pi_ref exp(p / beta) / Z",
        BANDIT,
        _direct("ipo"),
        "preference_optimum",
    ),
    "robust_bandit": Case(
        f"robust DPO on a bandit with {FLIPPED:.0%} of labels flipped", BANDIT, _direct("robust", FLIPPED)
    ),
}
CLAIMS = tuple(
    Claim(name, f"{case.words}: KL(policy, known optimum)", "nats", (Bound("<", 0.01),))
    for name, case in CASES.items()
)


def measure() -> Iterator[tuple[str, Measurement]]:
    import torch

    torch.set_num_threads(1)
    for name, case in CASES.items():
        found = [reached(case, seed) for seed in SEEDS]
        ends = [end for _, end in found]
        note = f"worst and range of {len(SEEDS)} seeds; KL before training at least {min(s for s, _ in found):.2f}"
        yield name, Measurement(max(ends), len(ends), min(ends), max(ends), SEEDS[0], note)


def reached(case: Case, seed: int) -> tuple[float, float]:
    """KL to the optimum before and after training."""
    from benchmarks import spaces

    space = spaces.Space.random(*case.size, seed)
    with tempfile.TemporaryDirectory() as folder:
        actors = case.train(space, seed, Path(folder))
    reference = spaces.distribution(actors.reference, space)
    best = getattr(spaces, case.best)(reference, space, **case.given)
    return (
        spaces.kl_divergence(reference, best),
        spaces.kl_divergence(spaces.distribution(actors.policy, space), best),
    )
