"""Capability: is the right option the likeliest answer to the question, among those given?

The model sees the question alone, as a user would ask it, and each option is scored as its answer.
Two ways of scoring are measured. The sum of an option's log-probabilities is its likelihood, but every
further token can only lower it, so a right answer of three tokens loses to any of one. The mean per
token takes the number of tokens out, and is what is reported as `capability_accuracy`; its own fault,
that it favours options with a predictable ending, weighs less where options are a word or two of
unequal length in tokens. The end token is not scored: chat models answer in sentences, so how likely
they are to stop after one word says nothing of what they know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tutelage.core.errors import StoreError
from tutelage.core.records import Message
from tutelage.data.packs import CapabilityItem
from tutelage.data.tokens import TokenContract
from tutelage.evals.task import write_rows
from tutelage.models.scoring import Pair

LogprobFunction = Callable[[Sequence[Pair]], Sequence[Tensor]]
"""From (prompt ids, response ids) to the log-probability of each response token, in nats."""


@dataclass(frozen=True)
class Choice:
    """The scores of one item's options: summed log-probabilities and their numbers of tokens."""

    item: str
    sums: tuple[float, ...]
    tokens: tuple[int, ...]
    answer: int
    category: str = ""

    @property
    def by_sum(self) -> bool:
        """Whether the right option has the largest likelihood."""
        return _alone_best(self.sums, self.answer)

    @property
    def by_mean(self) -> bool:
        """Whether the right option has the largest log-probability per token."""
        return _alone_best([s / n for s, n in zip(self.sums, self.tokens, strict=True)], self.answer)

    def plain(self) -> dict[str, Any]:
        return {
            "item": self.item,
            "sums": list(self.sums),
            "tokens": list(self.tokens),
            "answer": self.answer,
            "category": self.category,
            "right_by_mean": self.by_mean,
            "right_by_sum": self.by_sum,
        }


def choose_options(
    items: Sequence[CapabilityItem], logprobs: LogprobFunction, contract: TokenContract
) -> list[Choice]:
    """Score every option of every item, all in one call of `logprobs`."""
    pairs: list[Pair] = []
    for item in items:
        prompt = contract.prompt_ids([Message("user", item.question)])
        pairs += [(prompt, contract.response_ids(option, end=False)) for option in item.options]
    scored = iter(logprobs(pairs) if pairs else [])
    choices: list[Choice] = []
    for item in items:
        options = [next(scored) for _ in item.options]
        sums, tokens = tuple(float(o.double().sum()) for o in options), tuple(len(o) for o in options)
        choices.append(Choice(item.id, sums, tokens, item.answer, item.category))
    return choices


def write_choices(path: Path, choices: Sequence[Choice]) -> None:
    """Leave the scores in `path`, atomically."""
    write_rows(path, (choice.plain() for choice in choices))


def read_choices(path: Path) -> list[Choice]:
    """Read back what `write_choices` left. Raises `StoreError` naming the line that is none."""
    choices: list[Choice] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            sums, tokens = tuple(row["sums"]), tuple(row["tokens"])
            choices.append(Choice(row["item"], sums, tokens, row["answer"], row["category"]))
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{path}:{number} is not a scored item: run `tutelage evaluate` again") from None
    return choices


def _alone_best(scores: Sequence[float], answer: int) -> bool:
    """A tie for the first place is not right: a model that scores all options alike knows nothing."""
    return all(scores[answer] > score for i, score in enumerate(scores) if i != answer)
