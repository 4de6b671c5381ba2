"""Anderson's acceleration on maps whose fixed point is known."""

from __future__ import annotations

import numpy as np

from tutelage.stats.fixed_point import Anderson


def steps_to_settle(accelerated: bool) -> int:
    """x <- A x + b with contraction 0.99 in one direction, whose fixed point is (I - A)^-1 b."""
    generator = np.random.default_rng(0)
    basis, _ = np.linalg.qr(generator.normal(size=(4, 4)))
    matrix = basis @ np.diag([0.99, 0.9, 0.5, 0.1]) @ basis.T
    offset = generator.normal(size=4)
    answer = np.linalg.solve(np.eye(4) - matrix, offset)
    guess, x = Anderson(longest=100.0), np.zeros(4)
    for step in range(5000):
        change = matrix @ x + offset - x
        if np.abs(x - answer).max() < 1e-6:
            return step
        x = guess.next(x, change) if accelerated else x + change
    raise AssertionError("it did not settle")


def test_a_linear_map_settles_in_a_few_steps() -> None:
    assert steps_to_settle(accelerated=True) < 30
    assert steps_to_settle(accelerated=False) > 500


def test_no_entry_moves_further_than_allowed_once_it_guesses() -> None:
    guess = Anderson(longest=0.1)
    x = np.zeros((2, 2))
    for _ in range(2):
        moved = guess.next(x, np.full((2, 2), 0.5))
        assert np.allclose(moved - x, 0.5)  # the plain step, until three points are known
        x = moved
    moved = guess.next(x, np.array([[0.4, 0.3], [0.2, 0.1]]))
    assert np.abs(moved - x).max() <= 0.1 + 1e-12


def test_a_guess_that_made_it_worse_is_forgotten() -> None:
    guess = Anderson()
    x = np.zeros(2)
    for size in (0.4, 0.3, 0.2):
        x = guess.next(x, np.array([size, 0.0]))
    worse = np.array([0.0, 0.9])
    assert np.allclose(guess.next(x, worse), x + worse)
