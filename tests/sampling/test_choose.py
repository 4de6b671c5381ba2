"""Choosing tokens: two-level inversion against its plain twin, the distribution, and at its edges."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from tutelage.sampling.choose import BLOCK, choose, choose_plain, nucleus

EDGE = 1.0 - 2**-24
"""The largest number below 1 that a uniform draw in fp32 can be."""


def _logits(batch: int, vocabulary: int, spread: float = 3.0) -> torch.Tensor:
    return torch.randn(batch, vocabulary, generator=torch.Generator().manual_seed(vocabulary)) * spread


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (2.0, 0.9), (1.0, 0.3), (0, 1.0)])
@pytest.mark.parametrize("vocabulary", [3, BLOCK, 320, 5003])
def test_it_chooses_what_its_plain_twin_chooses(vocabulary: int, temperature: float, top_p: float) -> None:
    logits = _logits(400, vocabulary)
    uniform = torch.rand(400, generator=torch.Generator().manual_seed(2))
    tokens, logprobs = choose(logits, uniform, temperature, top_p)
    plain, plain_logprobs = choose_plain(logits, uniform, temperature, top_p)
    same = tokens == plain
    assert same.float().mean() >= 0.995  # a draw that falls on an edge may be rounded either way
    torch.testing.assert_close(logprobs[same], plain_logprobs[same], atol=1e-5, rtol=1e-5)
    theirs = (logits / (temperature or 1.0)).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    torch.testing.assert_close(logprobs, theirs, atol=1e-5, rtol=1e-5)


def test_by_hand() -> None:
    # Probabilities 0.5, 0.3, 0.2: their cumulative sums are 0.5, 0.8, 1.0.
    logits = torch.tensor([0.5, 0.3, 0.2]).log().repeat(5, 1)
    tokens, logprobs = choose(logits, torch.tensor([0.0, 0.49, 0.51, 0.79, 0.81]), 1.0, 1.0)
    assert tokens.tolist() == [0, 0, 1, 1, 2]
    assert logprobs.exp().tolist() == pytest.approx([0.5, 0.5, 0.3, 0.3, 0.2], abs=1e-6)


def test_frequencies_follow_the_distribution() -> None:
    draws, vocabulary = 20_000, 600
    logits = _logits(1, vocabulary, spread=1.5)
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(7))
    tokens, _ = choose(logits.expand(draws, -1), uniform, 0.8, 1.0)
    expected = (logits[0] / 0.8).softmax(0).double() * draws
    counts = tokens.bincount(minlength=vocabulary).double()
    # The chi-square test wants at least five of each; rarer tokens are counted together.
    rare = expected < 5
    observed = torch.cat([counts[~rare], counts[rare].sum()[None]])
    theory = torch.cat([expected[~rare], expected[rare].sum()[None]])
    theory *= observed.sum() / theory.sum()
    assert chisquare(observed.numpy(), theory.numpy()).pvalue > 0.01


def test_top_p_keeps_the_smallest_set_and_its_proportions() -> None:
    # 0.4, 0.3, 0.2, 0.1 at 0.65: 0.4 falls short, 0.4 + 0.3 does not, so the first two are kept.
    shares = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    assert nucleus(shares, 0.65).tolist() == [[0.0, pytest.approx(0.4), 0.0, pytest.approx(0.3)]]
    # 3/7 of the draws come from the second of the two: with u = 0.57 the first (4/7 = 0.571), then the other.
    logits = shares.log().expand(2, -1)
    tokens, logprobs = choose(logits, torch.tensor([0.57, 0.58]), 1.0, 0.65)
    assert tokens.tolist() == [1, 3]
    # The log-probability is the one before the cut.
    assert logprobs.exp().tolist() == pytest.approx([0.4, 0.3], abs=1e-6)


def test_top_p_never_leaves_its_support() -> None:
    logits = _logits(50, 2000, spread=1.0)  # so even that more tokens are needed than are looked at first
    kept = nucleus(logits.softmax(-1), 0.9) > 0
    assert int(kept.sum(1).min()) > 512
    ordered = logits.softmax(-1).sort(-1, descending=True).values.cumsum(-1)
    assert kept.sum(1).tolist() == [int((row < 0.9).sum()) + 1 for row in ordered]
    for u in (0.0, 0.5, EDGE):
        tokens, _ = choose(logits, torch.full((50,), u), 1.0, 0.9)
        assert kept.gather(1, tokens[:, None]).all()


@pytest.mark.parametrize("pick", [choose, choose_plain])
@pytest.mark.parametrize("u", [0.0, EDGE])
def test_a_token_without_probability_is_never_chosen(pick: object, u: float) -> None:
    logits = torch.full((1, 1000), -math.inf)
    logits[0, [300, 700]] = 0.0
    tokens, logprobs = pick(logits, torch.tensor([u]), 1.0, 1.0)  # type: ignore[operator]
    assert tokens.item() == (300 if u == 0 else 700)
    assert logprobs.item() == pytest.approx(-math.log(2), abs=1e-6)


def test_greedy_takes_the_likeliest_whatever_the_draw() -> None:
    logits = _logits(6, 500)
    for u in (0.0, 0.9):
        tokens, logprobs = choose(logits, torch.full((6,), u), 0, 1.0)
        assert torch.equal(tokens, logits.argmax(-1))
        torch.testing.assert_close(logprobs, logits.log_softmax(-1).amax(-1), atol=1e-5, rtol=1e-5)
