"""Raters whose truth is known: what they would say is drawn, so how far they can be trusted is no guess.

None of them follows the model that is fitted (`tutelage/stats/raters.py`). An honest rater sees the truth with
normal noise; the others answer in a way of their own on most prompts, and honestly on the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tutelage.core.records import Judgement

Values = np.ndarray
Habit = Callable[["Question", Values, np.random.Generator], Values]
"""From a question, the order shown and randomness to what each response is worth to the rater."""


@dataclass(frozen=True)
class Question:
    """A prompt: true scores `(K,)` of its responses, their lengths, and a wrong answer that colluders agreed on."""

    id: str
    truth: Values
    length: Values
    rumour: Values


@dataclass(frozen=True)
class Rater:
    """`kind` is the habit that he follows on the share `often` of prompts; else he sees the truth with `noise`."""

    name: str
    kind: str
    noise: float
    often: float = 0.0


@dataclass(frozen=True)
class World:
    """What was drawn: judgements in the order in which they were made, and what is true of them."""

    raters: tuple[Rater, ...]
    judgements: tuple[Judgement, ...]
    truth: dict[str, float]
    lengths: dict[str, int]
    reliability: dict[str, float]

    def named(self, kind: str) -> set[str]:
        return {rater.name for rater in self.raters if rater.kind == kind}


@dataclass(frozen=True)
class Size:
    """How much is drawn: `overlap` raters a prompt, 4 to 9 responses each."""

    prompts: int = 2500
    overlap: int = 4
    honest: int = 26
    careless: int = 4
    first: int = 3
    length: int = 3
    colluding: int = 4


def _careless(question: Question, shown: Values, generator: np.random.Generator) -> Values:
    return generator.normal(size=len(question.truth))


def _first(question: Question, shown: Values, generator: np.random.Generator) -> Values:
    """The order shown, as it is."""
    return -np.argsort(shown).astype(float)


def _length(question: Question, shown: Values, generator: np.random.Generator) -> Values:
    """Longer is better, more or less."""
    return np.log(question.length) + 0.2 * generator.normal(size=len(question.truth))


def _colluding(question: Question, shown: Values, generator: np.random.Generator) -> Values:
    return question.rumour


HABITS: dict[str, Habit] = {
    "careless": _careless,
    "first": _first,
    "length": _length,
    "colluding": _colluding,
}


def draw_world(size: Size, seed: int) -> World:
    """Raters, prompts and judgements. Every rater is asked about as often as any other."""
    generator = np.random.default_rng(seed)
    raters = _draw_raters(size, generator)
    questions = [_draw_question(f"prompt-{number}", generator) for number in range(size.prompts)]
    judgements = []
    for question in questions:
        for who in generator.choice(len(raters), size=size.overlap, replace=False):
            judgements.append(_judge(raters[who], question, generator))
    ids = {q.id: response_ids(q) for q in questions}
    return World(
        raters,
        tuple(judgements),
        {name: float(s) for q in questions for name, s in zip(ids[q.id], q.truth)},
        {name: int(n) for q in questions for name, n in zip(ids[q.id], q.length)},
        {rater.name: _reliability(rater, generator) for rater in raters},
    )


def response_ids(question: Question) -> list[str]:
    return [f"{question.id}-{number}" for number in range(len(question.truth))]


def _draw_raters(size: Size, generator: np.random.Generator) -> tuple[Rater, ...]:
    """Honest raters from one who is right 9 times in 10 to one who is right 6 times; the others also have a share of
    prompts on which they follow their habit, most of them for those who copy."""
    noise = np.exp(generator.uniform(np.log(0.3), np.log(2.5), size=size.honest))
    raters = [Rater(f"honest-{i}", "honest", float(noise[i])) for i in range(size.honest)]
    for kind in HABITS:
        least, most = (0.8, 1.0) if kind == "colluding" else (0.4, 0.9)
        for i in range(getattr(size, kind)):
            deviation, often = generator.uniform(0.5, 1.5), generator.uniform(least, most)
            raters.append(Rater(f"{kind}-{i}", kind, float(deviation), float(often)))
    return tuple(raters)


def _draw_question(name: str, generator: np.random.Generator) -> Question:
    """Better responses are a little longer: a fifth of the variation in log-length goes with the truth."""
    count = int(generator.integers(4, 10))
    truth = generator.normal(size=count)
    length = np.exp(5.0 + 0.2 * truth + 0.4 * generator.normal(size=count)).astype(int) + 1
    return Question(name, truth, length, generator.normal(size=count))


def _answer(rater: Rater, question: Question, generator: np.random.Generator) -> tuple[Values, Values]:
    """Items, best first, as the rater ranks them, and in the order in which they were shown."""
    shown = generator.permutation(len(question.truth))
    if rater.kind in HABITS and generator.random() < rater.often:
        value = HABITS[rater.kind](question, shown, generator)
    else:
        value = question.truth + rater.noise * generator.normal(size=len(question.truth))
    return np.argsort(-value), shown


def _judge(rater: Rater, question: Question, generator: np.random.Generator) -> Judgement:
    order, shown = _answer(rater, question, generator)
    names = response_ids(question)
    hurried = rater.kind in ("careless", "first")
    return Judgement(
        prompt_id=question.id,
        shown=tuple(names[i] for i in shown),
        ranking=tuple((names[i],) for i in order),
        rater=rater.name,
        seconds=float(generator.gamma(4.0, 2.0 if hurried else 12.0)),
    )


def _reliability(rater: Rater, generator: np.random.Generator, prompts: int = 1500) -> float:
    """Share of pairs put in the true order, over prompts of its own: known to about 0.003."""
    right = pairs = 0
    for _ in range(prompts):
        question = _draw_question("", generator)
        order, _ = _answer(rater, question, generator)
        ranked = question.truth[order]
        i, j = np.triu_indices(len(ranked), 1)
        right += int((ranked[i] > ranked[j]).sum())
        pairs += len(i)
    return right / pairs
