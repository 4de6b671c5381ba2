"""A sampler that says what it was told to: for tests, demonstrations, and answers that were made elsewhere.

Its answers come from a table or a function of the prompt and pass through the same tokens as a model's,
so everything after sampling can be run, and repeated, without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tutelage.core.errors import DataError
from tutelage.core.records import Message
from tutelage.data.tokens import TokenContract
from tutelage.sampling.sampler import Progress, Sample, SamplingSettings

Script = Callable[[str, int], str]
"""From a prompt's text (with the template's own words) and the number of the sample to the answer."""


class ScriptedSampler:
    """Answers each prompt from `script`: a table of user messages, or a function.

    A table's value is one answer, or several that are given in turn to the samples of a prompt. A prompt
    that is not in the table gets `default`; without one it is an error.
    """

    def __init__(
        self,
        contract: TokenContract,
        script: Mapping[str, str | Sequence[str]] | Script,
        default: str | None = None,
    ) -> None:
        self.contract, self.default = contract, default
        self._function = script if callable(script) else None
        table = {} if callable(script) else script
        self._table = {
            tuple(contract.prompt_ids([Message("user", prompt)])): [answers]
            if isinstance(answers, str)
            else list(answers)
            for prompt, answers in table.items()
        }

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        num_samples: int = 1,
        on_progress: Progress | None = None,
    ) -> list[list[Sample]]:
        """The scripted answers, cut at `settings.max_new_tokens`. Each token has probability 1 (log 0)."""
        results: list[list[Sample]] = []
        for prompt in prompts:
            results.append([self._say(prompt, number, settings) for number in range(num_samples)])
            if on_progress is not None:
                on_progress(sum(len(sample.ids) for sample in results[-1]), num_samples)
        return results

    def _say(self, prompt: Sequence[int], number: int, settings: SamplingSettings) -> Sample:
        ids = tuple(self.contract.response_ids(self._answer(prompt, number))[: settings.max_new_tokens])
        return Sample(ids, (0.0,) * len(ids), finished=bool(ids) and ids[-1] == self.contract.end_id)

    def _answer(self, prompt: Sequence[int], number: int) -> str:
        if self._function is not None:
            return self._function(self.contract.text(prompt), number)
        if answers := self._table.get(tuple(prompt)):
            return answers[number % len(answers)]
        if self.default is None:
            raise DataError(
                f"the script has no answer for the prompt '{self.contract.text(prompt)}': add one"
            )
        return self.default
