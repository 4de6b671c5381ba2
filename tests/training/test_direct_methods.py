"""DPO and its relatives, KTO: each arrives where its objective says, whatever the batch, and resumes exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.spaces import (
    PROMPT,
    Space,
    actors_for,
    distribution,
    every_pair,
    kl_divergence,
    optimum,
    preference_optimum,
)
from tests.helpers_training import KillAt, Killed
from tutelage.core.errors import DataError
from tutelage.core.method_settings import DpoSettings, KtoSettings
from tutelage.core.recorder import Recorder
from tutelage.training import dpo, kto
from tutelage.training.direct import Learner, policy_sums, reference_sums
from tutelage.training.ranked import RankedExample
from tutelage.training.sft import trainable

TRAIN = {"kto": kto.train_kto}


def _learner(space: Space) -> Learner:
    actors = actors_for(space, seed=1)
    return Learner(actors.policy, None, actors.reference, None)


def _settings(loss: str, **changes: Any) -> Any:
    optim = {"learning_rate": 1e-2, "schedule": "cosine", "floor": 0.0, "micro_batch_tokens": 10**6}
    base = {"beta": 0.5, "epochs": 3, "batch": 1, "checkpoint_every": 10**6, "optim": optim}
    if loss == "kto":
        return KtoSettings.model_validate({**base, **changes})
    return DpoSettings.model_validate({"loss": loss, **base, **changes})


def _train(
    learner: Learner, settings: DpoSettings | KtoSettings, folder: Path, examples: list[RankedExample]
) -> None:
    """Three passes over a hundred copies: 300 steps."""
    train: Any = kto.train_kto if isinstance(settings, KtoSettings) else dpo.train_dpo
    train(learner, examples * 100, [], settings, folder=folder, recorder=Recorder("direct"), seed=3)


@pytest.mark.parametrize("length", [1, 2])
def test_dpo_reaches_the_optimum(tmp_path: Path, length: int) -> None:
    space = Space.random(vocabulary=6 // length, length=length, beta=0.5, seed=0)
    learner = _learner(space)
    reference = distribution(learner.reference, space)
    best = optimum(reference, space)
    assert kl_divergence(reference, best) > 0.2  # there is something to learn
    _train(learner, _settings("dpo"), tmp_path, [every_pair(space)])
    assert kl_divergence(distribution(learner.policy, space), best) < 1e-3


def test_ipo_reaches_its_own_optimum(tmp_path: Path) -> None:
    """How often y is preferred counts in the place of its reward; the opponent is uniform, itself included."""
    space = Space.random(vocabulary=6, length=1, beta=0.5, seed=0)
    learner = _learner(space)
    reference = distribution(learner.reference, space)
    best = preference_optimum(reference, space)
    _train(learner, _settings("ipo"), tmp_path, [every_pair(space)])
    assert kl_divergence(reference, best) > 0.02
    assert kl_divergence(distribution(learner.policy, space), best) < 2e-3


def test_robust_dpo_undoes_flipped_labels(tmp_path: Path) -> None:
    space = Space.random(vocabulary=6, length=1, beta=0.5, seed=0)
    clean = every_pair(space)
    flipped = tuple((i, j, 0.8 * p + 0.2 * (1 - p), w) for i, j, p, w in clean.pairs)
    example = RankedExample("p", "", PROMPT, clean.responses, (), flipped, clean.words)
    reached = {}
    for loss in ("dpo", "robust"):
        learner = _learner(space)
        best = optimum(distribution(learner.reference, space), space)
        _train(learner, _settings(loss, flip_rate=0.2), tmp_path / loss, [example])
        reached[loss] = kl_divergence(distribution(learner.policy, space), best)
    assert reached["robust"] < 1e-3 < 0.02 < reached["dpo"]


def test_plackett_luce_pulls_a_ranking_apart_in_its_order(tmp_path: Path) -> None:
    space = Space.random(vocabulary=4, length=1, beta=0.5, seed=0)
    learner = _learner(space)
    before = distribution(learner.reference, space)
    ranking = (((2,), (0, 3), (1,)), 1.0)
    example = RankedExample("p", "", PROMPT, tuple(space.responses), (ranking,), (), (1, 1, 1, 1))
    _train(learner, _settings("plackett-luce", epochs=1), tmp_path, [example])
    moved = distribution(learner.policy, space) - before
    assert moved[2] > moved[0] and moved[2] > moved[3]
    assert moved[0] > moved[1] and moved[3] > moved[1]
    assert float(moved[0] - moved[3]) == pytest.approx(0.0, abs=0.05)


def test_kto_raises_what_won_and_lowers_what_lost(tmp_path: Path) -> None:
    space = Space.random(vocabulary=4, length=1, beta=0.5, seed=0)
    learner = _learner(space)
    before = distribution(learner.reference, space)
    pairs = ((2, 1, 1.0, 1.0), (0, 1, 1.0, 1.0), (2, 3, 1.0, 1.0))
    example = RankedExample("p", "", PROMPT, tuple(space.responses), (), pairs, (1, 1, 1, 1))
    elsewhere = RankedExample("q", "", (1, 0), tuple(space.responses), (), pairs, (1, 1, 1, 1))
    good, bad = kto.label_weights(example)
    assert good.tolist() == pytest.approx([1 / 6, 0, 2 / 6, 0])
    assert bad.tolist() == pytest.approx([0, 2 / 6, 0, 1 / 6])
    _train(learner, _settings("kto", epochs=1), tmp_path, [example, elsewhere])
    moved = distribution(learner.policy, space) - before
    assert min(moved[2], moved[0]) > 0.1 and max(moved[1], moved[3]) < -0.1


def test_kto_compares_with_responses_under_other_prompts_only(tmp_path: Path) -> None:
    space = Space.random(vocabulary=5, length=3, beta=0.5, seed=0)
    examples = _examples(space, 5)
    same = [*examples, examples[0]]
    for own, other in zip(same, kto.mismatched(same), strict=True):
        assert other.prompt != own.prompt and other.responses == own.responses
    with pytest.raises(DataError, match="two or more"):
        _train(_learner(space), _settings("kto"), tmp_path, examples[:1])


def _examples(space: Space, count: int) -> list[RankedExample]:
    """Prompts of several lengths with three responses each, one pair with a soft label."""
    draw = torch.Generator().manual_seed(5)
    made: list[RankedExample] = []
    for i in range(count):
        prompt = tuple(torch.randint(0, 5, (2 + i % 3,), generator=draw).tolist())
        responses = tuple(tuple(torch.randint(0, 5, (1 + k,), generator=draw).tolist()) for k in range(3))
        pairs = ((0, 1, 1.0, 1.0), (2, 1, 0.7, 0.5), (0, 2, 0.5, 1.0))
        ranking = (((0,), (2,), (1,)), 1.0)
        made.append(RankedExample(str(i), "", prompt, responses, (ranking,), pairs, (1, 1, 1)))
    return made


every_loss = pytest.mark.parametrize("loss", ["dpo", "plackett-luce", "ipo", "robust", "kto"])


@every_loss
def test_micro_batches_add_up_and_sharing_a_prompt_changes_nothing(loss: str) -> None:
    space = Space.random(vocabulary=5, length=3, beta=0.5, seed=0)
    gradients: list[list[torch.Tensor]] = []
    for budget in (10**6, 16):
        settings = _settings(loss, optim={"micro_batch_tokens": budget}, length_normalised=loss == "ipo")
        learner, batch = _learner(space), _examples(space, 4)
        with torch.no_grad():
            for parameter in trainable(learner.policy, None):
                parameter.add_(
                    0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
                )
        reference = reference_sums(learner, batch, settings.length_normalised)
        if loss == "kto":
            kto.accumulate(learner, batch, reference, torch.tensor(0.3), settings, 0)
        else:
            dpo.accumulate(learner, batch, reference, settings, 0)
        gradients.append([p.grad.clone() for p in trainable(learner.policy, None) if p.grad is not None])
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-3
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


def test_sums_are_those_of_each_response_alone() -> None:
    space = Space.random(vocabulary=5, length=3, beta=0.5, seed=0)
    learner, (example, *_) = _learner(space), _examples(space, 1)
    together = policy_sums(learner, example.sequences, False)
    apart = torch.cat([policy_sums(learner, [pair], False) for pair in example.sequences])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, reference_sums(learner, [example], False)[0], atol=1e-5, rtol=0)


@every_loss
def test_resumes_to_the_same_bits(tmp_path: Path, loss: str) -> None:
    space = Space.random(vocabulary=5, length=3, beta=0.5, seed=0)
    settings = _settings(loss, epochs=3, batch=2, checkpoint_every=2, optim={"learning_rate": 1e-2})
    train = TRAIN.get(loss, dpo.train_dpo)
    finals: list[list[torch.Tensor]] = []
    for name, stops in (("whole", (None,)), ("killed", (5, None))):
        folder = tmp_path / name
        folder.mkdir()
        for at in stops:
            learner = _learner(space)
            recorder = Recorder("direct", folder, [KillAt(at)] if at else [])
            try:
                train(learner, _examples(space, 5), [], settings, folder=folder, recorder=recorder, seed=3)
            except Killed:
                assert at is not None
        finals.append([p.detach().clone() for p in trainable(learner.policy, None)])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
