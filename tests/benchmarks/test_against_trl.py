"""Our losses and gradients against TRL's own: they agree, and every row would tell if they did not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import environments
from benchmarks.claims.claim import NotMeasured
from benchmarks.claims.training_core import against_trl
from benchmarks.claims.training_core.against_trl import CASES, CLAIMS, ask, both, differences, summed_up
from tutelage.objectives import gae as gaes
from tutelage.training import dpo, grpo, kto, online, ppo, ranked, rloo, sft

with_trl = pytest.mark.skipif(environments.missing() is not None, reason=str(environments.missing()))
ROWS = [claim.name for claim in CLAIMS]


@dataclass(frozen=True)
class Answered:
    folder: Path
    cases: list[dict[str, Any]]

    def value(self, row: str) -> float:
        mine = [case for case in self.cases if case["row"] in CASES.get(row, (row,))]
        found = [(case, differences(case, *both(case, self.folder))) for case in mine]
        size = summed_up(row, found).value
        assert size is not None
        return size


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answered]:
    """One world (the tied model), with TRL's answers."""
    folder = tmp_path_factory.mktemp("against-trl")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Answered(folder, ask(folder, 1))
    torch.set_num_threads(threads)


@with_trl
@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_ours_are_theirs(answered: Answered, row: str) -> None:
    assert answered.value(row) < 1e-5


def negated(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with its loss (or its one tensor) of the other sign."""

    def wrong(*given: Any, **named: Any) -> Any:
        made = function(*given, **named)
        return -made if isinstance(made, torch.Tensor) else made._replace(loss=-made.loss)

    return wrong


def swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with chosen and rejected changed over."""

    def wrong(a: Any, b: Any, c: Any = None, d: Any = None, *rest: Any, **named: Any) -> Any:
        return function(b, a, d, c, *rest, **named)

    return wrong


def turned_rewards(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda rewards, *rest: function(-rewards, *rest)


def turned_kl(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda scores, kl, *rest, **named: function(scores, -kl, *rest, **named)


def turned_labels(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda policy, reference, desirable, *rest, **named: function(
        policy, reference, ~desirable, *rest, **named
    )


def without_higher_clip(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given, **named: function(*given, **{**named, "clip_high": None})


WRONG: list[tuple[str, Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = [
    ("sft", sft, "token_nll_loss", negated),
    ("reward_model", ranked, "bradley_terry_loss", negated),
    ("dpo", dpo, "implicit_reward", negated),
    ("robust_dpo", dpo, "robust_dpo_loss", swapped),
    ("ipo", dpo, "ipo_loss", swapped),
    ("kto", kto, "kto_loss", turned_labels),
    ("kto", kto, "kto_reference_point", negated),
    ("ppo_gae", ppo, "gae", turned_rewards),
    ("ppo_gae", online, "shape_rewards", turned_kl),
    ("ppo_whitening", ppo, "masked_whiten", negated),
    ("ppo", ppo, "ppo_policy_loss", negated),
    ("ppo", ppo, "clipped_value_loss", negated),
    ("ppo_lengths", ppo, "ppo_policy_loss", negated),
    ("ppo_extra_state", gaes, "gae", turned_rewards),
    ("grpo", grpo, "kl_penalty_loss", negated),
    ("grpo", grpo, "ppo_policy_loss", negated),
    ("dr_grpo", grpo, "ppo_policy_loss", negated),
    ("dapo", grpo, "ppo_policy_loss", without_higher_clip),
    ("grpo_corrected_kl", grpo, "kl_penalty_loss", negated),
    ("rloo", rloo, "leave_one_out_advantages", negated),
    ("rloo", online, "shape_rewards", turned_kl),
]


@with_trl
@pytest.mark.slow
@pytest.mark.parametrize(("row", "module", "name", "spoil"), WRONG, ids=[f"{w[0]}-{w[2]}" for w in WRONG])
def test_a_row_tells_when_a_sign_is_flipped(
    answered: Answered,
    monkeypatch: pytest.MonkeyPatch,
    row: str,
    module: Any,
    name: str,
    spoil: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> None:
    monkeypatch.setattr(module, name, spoil(getattr(module, name)))
    assert answered.value(row) > 1e-3


def test_every_row_is_seen_to_fail() -> None:
    assert {wrong[0] for wrong in WRONG} == set(ROWS)


@with_trl
@pytest.mark.slow
@pytest.mark.parametrize("row", ["ppo", "ppo_lengths", "grpo", "dr_grpo", "dapo"])
def test_the_batches_reach_where_clipping_is(answered: Answered, row: str) -> None:
    """Else a wrong clip could not be seen: some tokens are clipped in every case, and not all of them."""
    for case in answered.cases:
        if case["row"] == row:
            mine, _ = both(case, answered.folder)
            for name in ("clip_fraction", "value_clip_fraction"):
                assert name not in mine or 0.02 < float(mine[name]) < 0.9


def test_what_a_difference_is() -> None:
    case = {"name": "x", "settings": {}}
    mine = {"loss": torch.tensor(1.5), "grad/w": torch.tensor([3.0, 4.1]), "grad/b": torch.tensor([1.0])}
    theirs = {"loss": torch.tensor(1.0), "grad/w": torch.tensor([3.0, 4.0]), "grad/b": torch.tensor([1.0])}
    found = differences(case, mine, theirs)
    assert found["loss"] == 0.5
    assert found["gradient"] == pytest.approx(0.1 / math.hypot(3, 4), rel=1e-6)  # of that parameter's norm


@pytest.mark.parametrize("name", ["loss", "grad/w"])
def test_what_is_no_number_never_agrees(name: str) -> None:
    bad, good = {name: torch.tensor([math.nan, 1.0])}, {name: torch.ones(2)}
    for mine, theirs in ((bad, good), (good, bad), (bad, bad)):
        assert max(differences({"name": "x", "settings": {}}, mine, theirs).values()) == math.inf


def test_a_parameter_that_one_side_lacks_is_no_agreement() -> None:
    case = {"name": "x", "settings": {}}
    one, two = {"grad/w": torch.ones(2)}, {"grad/w": torch.ones(2), "grad/v": torch.ones(1)}
    with pytest.raises(ValueError, match="parameters differ"):
        differences(case, one, two)
    with pytest.raises(ValueError, match="no grad/v"):
        differences(case, two, one)


def test_without_the_environment_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_BENCH_DIR", str(tmp_path))
    found = dict(against_trl.measure())
    assert list(found) == ROWS
    for what in found.values():
        assert isinstance(what, NotMeasured)
        assert "python -m benchmarks.environments" in what.reason
