"""Advantages from groups of responses to the same prompt, and weights that say what a mean runs over.

Scores are `(P, K)`: K responses to each of P prompts. An advantage belongs to a whole response, and so to
each of its tokens; no value model is needed. Token weights are `(B, T)` with loss = sum of weight times
token loss. They differ in how much a long response counts:

| weights                     | a token weighs     | long responses                                     |
|-----------------------------|--------------------|----------------------------------------------------|
| `token_weights_by_token`    | 1 / tokens         | count by their length (DAPO)                       |
| `token_weights_by_response` | 1 / (B length)     | count as short ones do (GRPO)                      |
| `token_weights_by_constant` | 1 / (B max_length) | by their length, whatever the others' (Dr. GRPO)   |

Left out on purpose: which prompts to draw again in the place of uninformative ones; that is sampling.
"""

from __future__ import annotations

from torch import Tensor

from tutelage.core.errors import DataError, RecipeError
from tutelage.objectives.masked import at_least_float32


def _centred(scores: Tensor) -> Tensor:
    """Scores minus the mean of their group, `(P, K)`, without gradient; exactly 0 where all are equal."""
    if scores.shape[1] < 2:
        raise DataError(
            f"a group needs at least two responses to a prompt, not {scores.shape[1]}: draw more of them"
        )
    # from the first score on, because the mean of K equal numbers can differ from them in the last digit
    shifted = at_least_float32(scores - scores[:, :1]).detach()
    return shifted - shifted.mean(dim=1, keepdim=True)


def leave_one_out_advantages(scores: Tensor) -> Tensor:
    """RLOO's advantages: a score minus the mean of the others' (Kool et al. 2019; Ahmadian et al. 2024).

    A[p, i] = r[p, i] - mean of r[p, j] over j != i = K / (K - 1) (r[p, i] - mean of r[p])

    `(P, K)` in units of the score, without gradient. The baseline does not depend on the response that it
    is taken from, so the policy gradient stays unbiased. Raises `DataError` if K is less than 2.
    """
    num_responses = scores.shape[1]
    return _centred(scores) * (num_responses / max(num_responses - 1, 1))


def group_normalised_advantages(scores: Tensor, eps: float = 1e-4) -> Tensor:
    """GRPO's advantages (Shao et al. 2024, section 4.1.2): centred and divided by the group's deviation.

    A[p, i] = (r[p, i] - mean of r[p]) / (std of r[p] + eps)

    `(P, K)`, a pure number, without gradient. The paper does not say which deviation: this is the sample's,
    divided by K - 1, with TRL's eps, as TRL and verl compute it. Dividing makes prompts on which nearly
    all responses score alike weigh more (Liu et al. 2025). Raises `DataError` if K is less than 2.
    """
    centred = _centred(scores)
    return centred / (centred.std(dim=1, correction=1, keepdim=True) + eps)


def group_centred_advantages(scores: Tensor) -> Tensor:
    """Dr. GRPO's advantages (Liu et al. 2025): A[p, i] = r[p, i] - mean of r[p].

    `(P, K)` in units of the score, without gradient. They are RLOO's times (K - 1) / K, so the policy
    gradient keeps its direction. Raises `DataError` if K is less than 2.
    """
    return _centred(scores)


def informative_groups(scores: Tensor) -> Tensor:
    """Where not all scores of a group are equal, `(P,)` bool (Yu et al. 2025, DAPO, eq. 11).

    A group of equal scores, say all right or all wrong, has no advantages and teaches nothing.
    """
    return scores.amax(dim=1) != scores.amin(dim=1)


def soft_overlong_penalty(lengths: Tensor, limit: int, buffer: int) -> Tensor:
    """What a response is charged for its length, `(B,)` between -1 and 0 (Yu et al. 2025, DAPO, eq. 13).

    0 up to limit - buffer tokens, then falling in a line to -1 at `limit`, and -1 beyond.

    `lengths` `(B,)`, `limit` and `buffer` are in tokens. To be added to the score. Raises `RecipeError`
    unless 1 <= buffer <= limit.
    """
    if not 1 <= buffer <= limit:
        raise RecipeError(f"an overlong buffer of {buffer} tokens: choose from 1 to the limit, {limit}")
    return ((limit - buffer - lengths) / buffer).clamp(-1.0, 0.0)


def token_weights_by_token(response_mask: Tensor, num_tokens: Tensor | float | None = None) -> Tensor:
    """Each token weighs 1 / num_tokens, zero outside the mask (Yu et al. 2025, DAPO, eq. 12).

    `(B, T)` or `(N,)`. `num_tokens` is the number of tokens in the mask unless given.
    """
    if num_tokens is None:
        num_tokens = response_mask.sum().clamp(min=1)
    return response_mask / num_tokens


def token_weights_by_response(response_mask: Tensor, num_responses: Tensor | float | None = None) -> Tensor:
    """Each response weighs 1 / B, shared evenly by its tokens (Shao et al. 2024, GRPO, eq. 3).

    Weight 1 / (B length), `(B, T)`, zero outside the mask. B is `num_responses`, the number of rows unless
    given. An empty response has no weight and still counts in B. A token of a long response weighs less,
    so a long wrong answer is charged less a token than a short one (Liu et al. 2025).
    """
    if num_responses is None:
        num_responses = response_mask.shape[0]
    return response_mask / (response_mask.sum(dim=1, keepdim=True).clamp(min=1) * num_responses)


def token_weights_by_constant(
    response_mask: Tensor, max_length: int, num_responses: Tensor | float | None = None
) -> Tensor:
    """Each token weighs 1 / (B max_length), zero outside the mask (Liu et al. 2025, Dr. GRPO).

    `(B, T)`. B is `num_responses`, the number of rows unless given; `max_length` is a constant of the run
    in tokens, such as the longest response allowed, and not the width of this batch. With `max_length` 1
    a loss is summed over a response and averaged over responses: RLOO's policy gradient, unscaled.
    """
    if num_responses is None:
        num_responses = response_mask.shape[0]
    return response_mask / (max_length * num_responses)
