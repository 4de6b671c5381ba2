"""Log-probabilities of responses against transformers, and what they must not depend on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tests.models.helpers import alone, plain_model, sequences
from tutelage.models.scoring import Pair, response_logprobs
from tutelage.models.trunk import Trunk


def _pairs() -> list[Pair]:
    return list(zip(sequences((5, 30, 1, 17)), sequences((8, 1, 40, 12), seed=5), strict=True))


def test_log_probabilities_equal_those_of_transformers(
    new_trunk: Callable[..., Trunk], tiny_folder: Path
) -> None:
    model, temperature = plain_model(tiny_folder), 0.8
    for (prompt, answer), ours in zip(
        _pairs(), response_logprobs(new_trunk(), _pairs(), temperature=temperature), strict=True
    ):
        every = (alone(model, [*prompt, *answer]) / temperature).log_softmax(-1)
        theirs = every[len(prompt) - 1 : -1].gather(1, torch.tensor(answer)[:, None])[:, 0]
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_they_do_not_depend_on_batch_order_or_micro_batch(new_trunk: Callable[..., Trunk]) -> None:
    trunk, pairs = new_trunk(), _pairs()
    together = response_logprobs(trunk, pairs)
    others = [
        [response_logprobs(trunk, [pair])[0] for pair in pairs],
        response_logprobs(trunk, pairs[::-1])[::-1],
    ]
    others += [response_logprobs(trunk, pairs, max_tokens=n) for n in (1, 45, 60)]
    for other in others:
        for mine, theirs in zip(together, other, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)


def test_nothing_asked_is_nothing_answered(new_trunk: Callable[..., Trunk]) -> None:
    assert response_logprobs(new_trunk(), []) == []
