"""Group advantages and token weights: by hand, against slow twins, and the exact policy gradient."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from tutelage.core.errors import DataError, RecipeError
from tutelage.objectives.groups import (
    group_centred_advantages,
    group_normalised_advantages,
    informative_groups,
    leave_one_out_advantages,
    soft_overlong_penalty,
    token_weights_by_constant,
    token_weights_by_response,
    token_weights_by_token,
)
from tutelage.objectives.policy import ppo_policy_loss

ADVANTAGES = [leave_one_out_advantages, group_normalised_advantages, group_centred_advantages]
RESPONSE_MASK = torch.tensor([[True, True, True, False], [False] * 4, [True, False, False, False]])


def random_scores(seed: int, num_prompts: int = 5, num_responses: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_prompts, num_responses, generator=generator, dtype=torch.float64)


def test_advantages_by_hand():
    scores = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    # 1 - (2 + 6) / 2 = -3, 2 - (1 + 6) / 2 = -1.5, 6 - (1 + 2) / 2 = 4.5; 0 - 3 / 2 twice, 3 - 0
    expected = torch.tensor([[-3.0, -1.5, 4.5], [-1.5, -1.5, 3.0]])
    torch.testing.assert_close(leave_one_out_advantages(scores), expected)
    # means 3 and 1
    centred = torch.tensor([[-2.0, -1.0, 3.0], [-1.0, -1.0, 2.0]])
    torch.testing.assert_close(group_centred_advantages(scores), centred)
    # (4 + 1 + 9) / 2 = 7 and (1 + 1 + 4) / 2 = 3 under the root; eps is added to the deviation
    deviations = torch.tensor([[math.sqrt(7.0) + 0.5], [math.sqrt(3.0) + 0.5]])
    torch.testing.assert_close(group_normalised_advantages(scores, eps=0.5), centred / deviations)


def test_against_loops_and_numpy():
    scores = random_scores(1)
    table = scores.numpy()
    others = [[row[i] - np.delete(row, i).mean() for i in range(len(row))] for row in table]
    torch.testing.assert_close(leave_one_out_advantages(scores), torch.tensor(others, dtype=torch.float64))
    deviations = table.std(axis=1, ddof=1, keepdims=True)
    normalised = (table - table.mean(axis=1, keepdims=True)) / (deviations + 1e-4)
    torch.testing.assert_close(group_normalised_advantages(scores), torch.from_numpy(normalised))


def test_two_responses_are_a_duel():
    # r1 - r2 and r2 - r1; centred half of it; the deviation of two is |r1 - r2| / sqrt 2, so +-1 / sqrt 2
    scores = torch.tensor([[5.0, 2.0]])
    assert leave_one_out_advantages(scores).tolist() == [[3.0, -3.0]]
    assert group_centred_advantages(scores).tolist() == [[1.5, -1.5]]
    half = math.sqrt(0.5)
    torch.testing.assert_close(group_normalised_advantages(scores, eps=0.0), torch.tensor([[half, -half]]))


@pytest.mark.parametrize("advantages", ADVANTAGES)
def test_advantages_are_zero_together_and_follow_their_members(advantages):
    scores = random_scores(2)
    out = advantages(scores)
    assert out.sum(dim=1).abs().max().item() < 1e-12
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(advantages(scores[:, order]), out[:, order])
    assert torch.equal(advantages(scores[[3, 1]]), out[[3, 1]])  # a prompt has no say in another's
    torch.testing.assert_close(advantages(scores + 100.0), out)
    assert torch.equal(out.argmax(dim=1), scores.argmax(dim=1))


def test_only_normalised_advantages_forget_the_scale():
    scores = random_scores(3)
    torch.testing.assert_close(leave_one_out_advantages(10 * scores), 10 * leave_one_out_advantages(scores))
    torch.testing.assert_close(group_centred_advantages(10 * scores), 10 * group_centred_advantages(scores))
    unit = group_normalised_advantages(scores, eps=0.0)
    torch.testing.assert_close(group_normalised_advantages(10 * scores, eps=0.0), unit)


@pytest.mark.parametrize("advantages", ADVANTAGES)
def test_equal_scores_teach_nothing_to_the_last_digit(advantages):
    # in float32 the mean of 0.1 taken 7 times is not 0.1, and eps is small enough to blow that up
    scores = torch.tensor([0.1, 0.3, 1e6 + 0.7])[:, None].expand(3, 7)
    assert torch.equal(advantages(scores), torch.zeros(3, 7))


@pytest.mark.parametrize("advantages", ADVANTAGES)
def test_advantages_carry_no_gradient_and_half_precision_is_raised(advantages):
    out = advantages(random_scores(4).requires_grad_())
    assert not out.requires_grad
    assert advantages(torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("advantages", ADVANTAGES)
def test_a_group_of_one_is_refused(advantages):
    with pytest.raises(DataError, match="at least two responses to a prompt, not 1"):
        advantages(torch.zeros(3, 1))


def test_informative_groups_by_hand():
    scores = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1 + 1e-7]])
    assert informative_groups(scores).tolist() == [False, True, False, True]


def test_soft_overlong_penalty_by_hand():
    # free up to 100 - 20 = 80; then (80 - length) / 20: 85 gives -0.25, 90 gives -0.5; from 100 on -1
    lengths = torch.tensor([0, 80, 85, 90, 100, 140])
    expected = torch.tensor([0.0, 0.0, -0.25, -0.5, -1.0, -1.0])
    torch.testing.assert_close(soft_overlong_penalty(lengths, limit=100, buffer=20), expected)


@pytest.mark.parametrize("buffer", [0, 101])
def test_a_buffer_without_a_slope_is_refused(buffer: int):
    with pytest.raises(RecipeError, match="from 1 to the limit, 100"):
        soft_overlong_penalty(torch.tensor([5]), limit=100, buffer=buffer)


def test_token_weights_by_hand():
    # lengths 3, 0, 1: 4 tokens, B = 3
    lengths = torch.tensor([[3.0], [1.0], [1.0]])
    torch.testing.assert_close(token_weights_by_token(RESPONSE_MASK), RESPONSE_MASK / 4)
    torch.testing.assert_close(token_weights_by_response(RESPONSE_MASK), RESPONSE_MASK / lengths / 3)
    torch.testing.assert_close(token_weights_by_constant(RESPONSE_MASK, max_length=10), RESPONSE_MASK / 30)


def test_token_weights_against_loops():
    losses = torch.arange(12, dtype=torch.float32).view(3, 4)
    rows = [losses[b, RESPONSE_MASK[b]].tolist() for b in range(3)]
    num_tokens = sum(len(row) for row in rows)
    by_token = sum(sum(row) for row in rows) / num_tokens
    by_response = sum(sum(row) / len(row) for row in rows if row) / len(rows)
    by_constant = sum(sum(row) / 10 for row in rows) / len(rows)
    assert (token_weights_by_token(RESPONSE_MASK) * losses).sum().item() == pytest.approx(by_token)
    assert (token_weights_by_response(RESPONSE_MASK) * losses).sum().item() == pytest.approx(by_response)
    assert (token_weights_by_constant(RESPONSE_MASK, 10) * losses).sum().item() == pytest.approx(by_constant)


def test_token_weights_of_micro_batches_are_those_of_the_batch():
    whole = [
        token_weights_by_token(RESPONSE_MASK),
        token_weights_by_response(RESPONSE_MASK),
        token_weights_by_constant(RESPONSE_MASK, 10),
    ]
    for rows in (slice(0, 1), slice(1, 3)):
        part = RESPONSE_MASK[rows]
        parts = [
            token_weights_by_token(part, num_tokens=4),
            token_weights_by_response(part, num_responses=3),
            token_weights_by_constant(part, 10, num_responses=3),
        ]
        for a, b in zip(parts, whole, strict=True):
            torch.testing.assert_close(a, b[rows])


def test_nothing_in_the_mask_weighs_nothing():
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    for weights in (
        token_weights_by_token(nothing),
        token_weights_by_response(nothing),
        token_weights_by_constant(nothing, 10),
    ):
        assert torch.equal(weights, torch.zeros(2, 3))


class Tree:
    """A policy over five responses of one or two tokens; every expectation is a finite sum.

    The first token is 0, 1 or 2, and 0 ends the response; after 1 and 2 comes one of two more.
    """

    responses = ((0,), (1, 0), (1, 1), (2, 0), (2, 1))
    scores = torch.tensor([0.3, -1.0, 2.0, 0.5, -0.4], dtype=torch.float64)

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.first = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
        self.second = torch.randn(2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
        self.response_mask = torch.tensor([[True, len(r) == 2] for r in self.responses])

    def logprobs(self) -> torch.Tensor:
        """Of each response's tokens, `(5, 2)`, 0 where there is none."""
        first, second = torch.log_softmax(self.first, dim=0), torch.log_softmax(self.second, dim=1)
        none = torch.zeros((), dtype=torch.float64)
        rows = [
            torch.stack([first[r[0]], second[r[0] - 1, r[1]] if len(r) == 2 else none])
            for r in self.responses
        ]
        return torch.stack(rows)

    def gradient(self, value: torch.Tensor) -> torch.Tensor:
        parts = torch.autograd.grad(value, [self.first, self.second])
        return torch.cat([part.flatten() for part in parts])

    def policy_gradient(self) -> torch.Tensor:
        """Of the expected score, by differentiating it."""
        return self.gradient((self.logprobs().sum(dim=1).exp() * self.scores).sum())

    def expected_gradient(self, advantages, weights, num_responses: int) -> torch.Tensor:
        """Minus the gradient of the loss, in expectation over all groups of `num_responses` responses.

        Each possible group is a prompt of its own, and its token weights are times its probability.
        """
        groups = torch.tensor(list(itertools.product(range(5), repeat=num_responses)))
        logprobs, members = self.logprobs(), groups.flatten()
        probability = logprobs.sum(dim=1).exp().detach()[groups].prod(dim=1)
        response_mask = self.response_mask[members]
        token_weights = weights(response_mask) * probability.repeat_interleave(num_responses)[:, None]
        out = ppo_policy_loss(
            logprobs[members],
            logprobs[members].detach(),
            advantages(self.scores[groups]).flatten()[:, None].expand(-1, 2),
            response_mask,
            0.2,
            token_weights=token_weights,
        )
        return -self.gradient(out.loss)


# 2 and 4, because half and a quarter are exact in float32, in which weights come
@pytest.mark.parametrize("num_responses", [2, 4])
def test_rloo_in_expectation_is_the_policy_gradient(num_responses: int):
    tree = Tree(5)

    def summed(response_mask: torch.Tensor) -> torch.Tensor:
        return token_weights_by_constant(response_mask, 1, num_responses)

    exact = tree.policy_gradient()
    assert exact.abs().max().item() > 0.1
    rloo = tree.expected_gradient(leave_one_out_advantages, summed, num_responses)
    torch.testing.assert_close(rloo, exact, rtol=0, atol=1e-12)
    # the mean that counts the response itself shortens the gradient by (K - 1) / K and does not turn it
    centred = tree.expected_gradient(group_centred_advantages, summed, num_responses)
    torch.testing.assert_close(centred, exact * (num_responses - 1) / num_responses, rtol=0, atol=1e-12)


def test_dividing_by_the_length_turns_the_gradient():
    """What Dr. GRPO says of GRPO: with 1 / length the mean update is no multiple of the policy gradient."""
    tree = Tree(6)
    exact = tree.policy_gradient()

    def cosine(weights) -> float:
        found = tree.expected_gradient(group_centred_advantages, weights, 2)
        return torch.cosine_similarity(found, exact, dim=0).item()

    assert cosine(lambda m: token_weights_by_constant(m, 7, 2)) == pytest.approx(1.0, abs=1e-7)
    assert cosine(lambda m: token_weights_by_response(m, 2)) < 1.0 - 1e-3
