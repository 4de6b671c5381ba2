"""A reward model as a judge: how likely one answer beats another, from the difference of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tutelage.judges.judge import Messages
from tutelage.models.reward import Scorer


class RewardJudge:
    """Bradley-Terry: P(a over b) = sigmoid((s_a - s_b) / temperature).

    The temperature is the reward model's calibrated one unless another is given. The order of the two
    answers plays no part, so there is no position bias to remove.
    """

    def __init__(self, model: Scorer, name: str = "reward model", temperature: float | None = None) -> None:
        self.model, self.name = model, name
        self.temperature = model.temperature if temperature is None else temperature
        self.contract = model.trunk.contract

    def compare(self, prompts: Sequence[Messages], first: Sequence[str], second: Sequence[str]) -> NDArray:
        """Probability `(n,)` that the first answer is the better one; equal texts give exactly 1/2."""
        difference = self.scores(prompts, first) - self.scores(prompts, second)
        same = np.array([a == b for a, b in zip(first, second, strict=True)], dtype=bool)
        return np.where(same, 0.5, expit(difference / self.temperature))

    def scores(self, prompts: Sequence[Messages], answers: Sequence[str]) -> NDArray:
        """Scores `(n,)` in fp64, before the temperature."""
        pairs = [
            (self.contract.prompt_ids(prompt), self.contract.response_ids(answer))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        return self.model.scores(pairs).double().numpy()
