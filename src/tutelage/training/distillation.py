"""Some demonstrations in the model's own words: it answers their prompts, told how, and learns to do so untold.

A small model cannot predict what people write. Where it copies them its distribution stays wide and, sampled
from, makes little sense, though it made sense before. Its own answers teach what to do (answer, and briefly)
without teaching it to speak anew: context distillation (Askell et al. 2021, "A general language assistant as a
laboratory for alignment", section 2.2), on samples as Yang et al. (2024), "Self-distillation bridges distribution
gap in language model fine-tuning". What it cannot do by itself (decline, say that it does not know) is learnt from
written demonstrations as before.

An answer that does not end, declines, or says nothing is left out with its prompt. Left out on purpose: whether
an answer is right. It is no more wrong than the model was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tutelage.core.errors import DataError
from tutelage.core.records import Demonstration, Message
from tutelage.core.settings import DistillationSettings
from tutelage.data.tokens import TokenContract
from tutelage.judges.refusal import COMPLIANCE, classify_refusal
from tutelage.sampling.sampler import Progress, Sampler, SamplingSettings
from tutelage.training.loop import permutation

_TURN = 7


def in_own_words(
    demonstrations: Sequence[Demonstration],
    settings: DistillationSettings,
    sampler: Sampler,
    contract: TokenContract,
    *,
    author: str,
    seed: int,
    on_progress: Progress | None = None,
) -> list[Demonstration]:
    """The demonstrations in their order, those of `settings.categories` with the sampler's answers or left out.

    `author` is who the answers are said to be by. Which of them are kept within `settings.limit` depends on the seed.
    Raises `DataError` if nothing is left to learn from.
    """
    own = [n for n, d in enumerate(demonstrations) if d.prompt.category in settings.categories]
    order = permutation(len(own), seed, _TURN)
    asked = sorted(own[i] for i in order[: settings.limit])
    prompts = [contract.prompt_ids(told(demonstrations[n].prompt.messages, settings)) for n in asked]
    how = SamplingSettings(contract.max_response, settings.temperature, seed=seed)
    samples = sampler.sample(prompts, how, 1, on_progress)
    answers = {
        n: contract.text(sample.ids) for n, (sample,) in zip(asked, samples, strict=True) if sample.finished
    }
    left_out = set(own) - answers.keys()
    kept: list[Demonstration] = []
    for n, demonstration in enumerate(demonstrations):
        if n in answers:
            if classify_refusal(demonstration.prompt.text, answers[n]).label == COMPLIANCE:
                kept.append(replace(demonstration, response=answers[n], author=author))
        elif n not in left_out:
            kept.append(demonstration)
    if demonstrations and not kept:
        raise DataError(
            f"none of the model's own answers to {len(asked)} demonstrations could be kept: each must end within "
            f"{contract.max_response} tokens and not decline. Raise tokens.max_response, or set "
            "sft.distillation.categories=[]"
        )
    return kept


def told(messages: Sequence[Message], settings: DistillationSettings) -> list[Message]:
    """The conversation, with the instruction at the end of what was said last."""
    *before, last = messages
    return [*before, replace(last, content=f"{last.content}\n\n{settings.instruction}")]
