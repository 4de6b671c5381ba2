"""Anderson's acceleration of x <- g(x): for iterations that settle surely, and slowly."""

from __future__ import annotations

from collections import deque

import numpy as np

from tutelage.stats._scipy import Array


class Anderson:
    """Takes the last few (x, g(x) - x), and says where g(x) = x would be if g were linear there.

    Anderson 1965, "Iterative procedures for nonlinear integral equations"; Walker and Ni 2011, algorithm AA. The
    least squares carry a small ridge, no entry moves by more than `longest` at once, and where a guess led to a
    change that is larger than before all is forgotten, because g need be no contraction there.
    """

    def __init__(self, depth: int = 5, longest: float = 0.3) -> None:
        self._points: deque[tuple[Array, Array]] = deque(maxlen=depth + 1)
        self._longest = longest

    def next(self, x: Array, change: Array) -> Array:
        """The next x, of the same shape; `change` is g(x) - x. It is g(x) itself until three are known."""
        if self._points and np.linalg.norm(change) > np.linalg.norm(self._points[-1][1]):
            self._points.clear()
        self._points.append((x.ravel(), change.ravel()))
        if len(self._points) < 3:
            return x + change
        steps = np.diff(np.array([point for point, _ in self._points]), axis=0)
        changes = np.diff(np.array([there for _, there in self._points]), axis=0)
        gram = changes @ changes.T
        gram += np.eye(len(gram)) * max(1e-6 * float(np.trace(gram)), np.finfo(np.float64).tiny)
        mix = np.linalg.solve(gram, changes @ change.ravel())
        jump = change.ravel() - mix @ (steps + changes)
        return x + np.clip(jump, -self._longest, self._longest).reshape(x.shape)
