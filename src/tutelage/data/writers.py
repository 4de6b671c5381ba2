"""Records as the rows that other tools read: TRL's and HH's comparisons, rankings, dialogues of messages.

Takes records, makes rows one at a time, and a `LeftOut` for what a format cannot say; `tables.py` writes
them. Argilla's and Label Studio's rows, which can come back, are made in `rating_tools.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tutelage.core.errors import DataError
from tutelage.core.records import Comparison, Demonstration, Judgement, Message, Prompt, Response
from tutelage.data.conversations import FieldProblem, turns
from tutelage.data.tables import LeftOut
from tutelage.data.tasks import described, messages_text

Rows = Iterator[dict[str, Any] | LeftOut]
Prompts = Mapping[str, Prompt]
Responses = Mapping[str, Response]
_TIES = LeftOut("comparisons that are ties: the format knows none")


def trl_rows(comparisons: Iterable[Comparison], prompts: Prompts, responses: Responses) -> Rows:
    """TRL's conversational preference rows: `prompt`, `chosen`, `rejected`, each a list of messages.

    The better response stands under `chosen` whichever way a comparison is told; its preference and weight
    stand beside it. `prompts` and `responses` are by id. Raises `DataError` where one is missing.
    """
    for told in comparisons:
        if told.preference == 0.5:
            yield _TIES
            continue
        better, prompt, chosen, rejected = _sides(told, prompts, responses)
        yield {
            "prompt": _chat(prompt.messages),
            "chosen": _chat([Message("assistant", chosen)]),
            "rejected": _chat([Message("assistant", rejected)]),
            "preference": better.preference,
            "weight": better.weight,
        }


def hh_rows(comparisons: Iterable[Comparison], prompts: Prompts, responses: Responses) -> Rows:
    """HH-RLHF's rows (Bai et al. 2022): `chosen` and `rejected` as whole transcripts.

    A transcript has no system message and no turn that itself holds a line `Human:`; such comparisons are
    left out. Raises as `trl_rows`.
    """
    for told in comparisons:
        if told.preference == 0.5:
            yield _TIES
            continue
        _, prompt, *answers = _sides(told, prompts, responses)
        whole = [[*prompt.messages, Message("assistant", text)] for text in answers]
        if all(_is_transcript(messages) for messages in whole):
            yield {"chosen": messages_text(whole[0]), "rejected": messages_text(whole[1])}
        else:
            yield LeftOut(
                "comparisons that a transcript would tell otherwise (system message, `Human:` inside)"
            )


def ranking_rows(judgements: Iterable[Judgement], prompts: Prompts, responses: Responses) -> Rows:
    """One row a judgement: `prompt`, `responses` as they were shown, `ranking` as tie groups of their places.

    With all else that a judgement says, so that reading it gives the same judgement. Raises `DataError`
    where a record is missing.
    """
    for judgement in judgements:
        prompt = _found(prompts, judgement.prompt_id, judgement.id)
        shown = [_found(responses, i, judgement.id) for i in judgement.shown]
        place = {response.id: n for n, response in enumerate(shown)}
        said = {name: getattr(judgement, name) for name in ("guideline", "reason", "seconds", "split")}
        scores = [judgement.scores.get(response.id) for response in shown]
        yield {
            "prompt": _chat(prompt.messages),
            "responses": [_response(response) for response in shown],
            "ranking": [[place[i] for i in group] for group in judgement.ranking],
            "rater": judgement.rater,
            "rater_kind": judgement.kind,
            **{name: value for name, value in said.items() if value not in ("", None)},
            **({"scores": scores} if any(scores) else {}),
            **{name: value for name, value in described(prompt).items() if name != "split"},
        }


def message_rows(demonstrations: Iterable[Demonstration]) -> Rows:
    """Dialogues of `messages` with the response last, as TRL's and OpenAI's fine-tuning read them."""
    for d in demonstrations:
        yield {
            "messages": _chat([*d.prompt.messages, Message("assistant", d.response)]),
            "source": d.prompt.source,
            "category": d.prompt.category,
            "author": d.author,
        }


def _sides(told: Comparison, prompts: Prompts, responses: Responses) -> tuple[Comparison, Prompt, str, str]:
    better = told.swap() if told.preference < 0.5 else told
    prompt = _found(prompts, better.prompt_id, told.id)
    chosen, rejected = (_found(responses, i, told.id).text for i in (better.chosen, better.rejected))
    return better, prompt, chosen, rejected


def _found(records: Mapping[str, Any], record_id: str, wanted_by: str) -> Any:
    if record_id not in records:
        raise DataError(f"{wanted_by} cannot be exported: the record {record_id} was not given")
    return records[record_id]


def _is_transcript(messages: list[Message]) -> bool:
    """Whether the messages come back from their transcript."""
    if any(m.role == "system" for m in messages):
        return False
    try:
        return list(turns(messages_text(messages), "")) == [
            Message(m.role, m.content.strip()) for m in messages
        ]
    except FieldProblem:
        return False


def _response(response: Response) -> dict[str, Any]:
    said = {"text": response.text, "model": response.policy}
    return {**said, "sampling": dict(response.sampling)} if response.sampling else said


def _chat(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [m.to_dict() for m in messages]
