"""From resolved records to what the reward model trains on: one prompt with all its responses as a unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Prompt, Ranking, Response
from tutelage.data.tokens import TokenContract
from tutelage.models.scoring import Pair
from tutelage.objectives.preference import bradley_terry_loss, ranking_loss, smoothed_label


class LabelledPairs(NamedTuple):
    """Pairs of one prompt's responses, `(N,)` each: places, and how far the label and the raters go."""

    better: Tensor
    worse: Tensor
    preference: Tensor
    weight: Tensor


@dataclass(frozen=True)
class RankedExample:
    """One prompt, its responses as tokens, and what raters said of them, by index into `responses`.

    `rankings` are tie groups, best first, with a weight each; `pairs` are (better, worse, preference,
    weight). `words` counts each response's words, for measuring length bias.
    """

    prompt_id: str
    category: str
    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    rankings: tuple[tuple[tuple[tuple[int, ...], ...], float], ...]
    pairs: tuple[tuple[int, int, float, float], ...]
    words: tuple[int, ...]

    @property
    def sequences(self) -> list[Pair]:
        return [(self.prompt, response) for response in self.responses]

    def labelled(self, device: torch.device) -> LabelledPairs:
        """The pairs as tensors."""
        better, worse, preference, weight = zip(*self.pairs, strict=True)
        return LabelledPairs(
            torch.tensor(better, device=device),
            torch.tensor(worse, device=device),
            torch.tensor(preference, device=device),
            torch.tensor(weight, device=device),
        )

    def gaps(self, device: torch.device) -> Tensor:
        """How far apart raters put each pair, `(N,)`: from 0, neighbours or a tie, to 1, the two ends of three or more.

        The weighted mean over rankings that hold both, of the places between them over the most there could
        be. Pairs in no ranking of three places or more have 0.
        """
        found: list[float] = []
        for better, worse, _, _ in self.pairs:
            total, weights = 0.0, 0.0
            for groups, weight in self.rankings:
                place = {index: number for number, group in enumerate(groups) for index in group}
                if better in place and worse in place and len(groups) > 2:
                    between = max(abs(place[better] - place[worse]) - 1, 0)
                    total += weight * between / (len(groups) - 2)
                    weights += weight
            found.append(total / weights if weights else 0.0)
        return torch.tensor(found, device=device)

    @property
    def tokens(self) -> int:
        """Tokens of one forward pass: the responses share their prompt."""
        return len(self.prompt) + sum(len(r) for r in self.responses)


def require_comparisons(examples: Sequence[RankedExample]) -> None:
    """Raise `DataError` if there is nothing to train on."""
    if not examples:
        raise DataError("there are no comparisons to train on: name some under data.comparisons")


def sequences_of(examples: Sequence[RankedExample]) -> list[Pair]:
    """The responses to all prompts, one after the other, each with its prompt."""
    return [pair for example in examples for pair in example.sequences]


def by_example(values: Tensor, examples: Sequence[RankedExample], dim: int = 0) -> list[Tensor]:
    """What there is of each of `sequences_of(examples)`, along `dim`, as one piece of K for each example."""
    return list(values.split([len(example.responses) for example in examples], dim)) if examples else []


def pairs_won(scores: Tensor, example: RankedExample) -> tuple[float, float]:
    """On how many pairs that are no tie the better response has the higher of `scores` `(K,)`; how many there are.

    Equal scores count half.
    """
    strict = [(i, j) for i, j, preference, _ in example.pairs if preference > 0.5]
    won = sum(float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]) for i, j in strict)
    return won, float(len(strict))


def comparison_loss(
    scores: Tensor, example: RankedExample, plackett_luce: bool, label_smoothing: float = 0.0
) -> Tensor:
    """The loss of one prompt's scores `(K,)`, a reward model's or implicit ones: one unit whatever it holds.

    Plackett-Luce on its rankings if asked and there are any, otherwise Bradley-Terry on its pairs, of
    whose labels the share `label_smoothing` is taken to be wrong.
    """
    if plackett_luce and example.rankings:
        return ranking_loss([(scores, *ranked) for ranked in example.rankings], "plackett-luce").loss
    pairs = example.labelled(scores.device)
    label = smoothed_label(pairs.preference, label_smoothing)
    return bradley_terry_loss(scores[pairs.better], scores[pairs.worse], label, pairs.weight).loss


def ranked_examples(
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    rankings: Iterable[Ranking],
    comparisons: Iterable[Comparison],
    contract: TokenContract,
) -> list[RankedExample]:
    """Group rankings and comparisons by prompt, in a fixed order. Raises `DataError` for a missing record."""
    by_prompt: dict[str, tuple[list[Ranking], list[Comparison]]] = {}
    for ranking in rankings:
        by_prompt.setdefault(ranking.prompt_id, ([], []))[0].append(ranking)
    for comparison in comparisons:
        by_prompt.setdefault(comparison.prompt_id, ([], []))[1].append(comparison)
    examples: list[RankedExample] = []
    for prompt_id in sorted(by_prompt):
        ranked, compared = by_prompt[prompt_id]
        if prompt_id not in prompts:
            raise DataError(
                f"a judgement names the prompt {prompt_id}, which is not among the imported prompts"
            )
        examples.append(_example(prompts[prompt_id], responses, ranked, compared, contract))
    return examples


def _example(
    prompt: Prompt,
    responses: Mapping[str, Response],
    rankings: Sequence[Ranking],
    comparisons: Sequence[Comparison],
    contract: TokenContract,
) -> RankedExample:
    named = [r for ranking in rankings for group in ranking.groups for r in group]
    named += [r for c in comparisons for r in (c.chosen, c.rejected)]
    ids = sorted(set(named))
    if missing := next((r for r in ids if r not in responses), None):
        raise DataError(
            f"a judgement on prompt {prompt.id} names the response {missing}, which was not imported"
        )
    place = {response_id: index for index, response_id in enumerate(ids)}
    texts = [responses[i].text for i in ids]
    return RankedExample(
        prompt_id=prompt.id,
        category=prompt.category,
        prompt=tuple(contract.prompt_ids(prompt.messages)),
        responses=tuple(tuple(contract.response_ids(text)) for text in texts),
        rankings=tuple((tuple(tuple(place[r] for r in g) for g in x.groups), x.weight) for x in rankings),
        pairs=tuple((place[c.chosen], place[c.rejected], c.preference, c.weight) for c in comparisons),
        words=tuple(len(text.split()) for text in texts),
    )
