"""Comparisons as they come: what one rater said about the responses to one prompt.

A chosen/rejected row and a ranking of K responses both become a prompt, its responses and a `Judgement`.
Pair formats do not say in which order a rater saw the two, so they are put in the order of their ids,
which carries no information; a ranking's responses keep the order of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from tutelage.core.records import Judgement, Message, Prompt, RaterKind, Response
from tutelage.data.conversations import (
    FieldProblem,
    answer_turns,
    checked_prompt,
    is_transcript,
    text_of,
)
from tutelage.data.prompts import prompt_from, split_of_row, stated_prompt


class Judged(NamedTuple):
    """A judgement together with what it is about."""

    prompt: Prompt
    responses: tuple[Response, ...]
    judgement: Judgement


@dataclass(frozen=True)
class Origin:
    """Where judgements come from: the rater's name and kind where a row does not say them itself."""

    name: str
    kind: RaterKind | None = None


def judged_pair(values: Mapping[str, Any], origin: Origin, transcript: bool = False) -> Judged:
    """A row with `chosen` and `rejected`; the prompt is stated, or is the beginning that both share."""
    for field in ("chosen", "rejected"):
        if field not in values:
            raise FieldProblem(field, "it is missing")
        if transcript and not is_transcript(values[field]):
            raise FieldProblem(field, "it is not a transcript of 'Human:' and 'Assistant:' turns")
    asked, chosen = conversation_of_pair(values, "chosen")
    other, rejected = conversation_of_pair(values, "rejected")
    if asked != other:
        raise FieldProblem("rejected", "chosen and rejected answer different conversations")
    if chosen == rejected:
        raise FieldProblem("rejected", "chosen and rejected are the same text")
    prompt = prompt_from(values, asked, origin.name)
    good = _response(prompt, chosen, values.get("model_chosen"), origin)
    bad = _response(prompt, rejected, values.get("model_rejected"), origin)
    given = {good.id: values.get("score_chosen"), bad.id: values.get("score_rejected")}
    scores = {who: {"overall": float(score)} for who, score in given.items() if _is_number(score)}
    shown = tuple(sorted((good, bad), key=lambda r: r.id))
    return Judged(prompt, shown, _judgement(values, origin, shown, ((good.id,), (bad.id,)), scores))


def judged_ranking(values: Mapping[str, Any], origin: Origin) -> Judged:
    """A row with `prompt`, `responses` and either `ranking` or `ranks`.

    `ranking` as a list of lists holds tie groups of response indices, best first; responses left out of
    it are unranked. A flat list of numbers, in `ranking` or `ranks`, is one rank a response, 1 the best,
    equal ranks tied, null unranked. `scores` is a list too, an object of numbers (or null) a response.
    """
    stated = stated_prompt(values)
    if stated is None:
        raise FieldProblem("prompt", "it is missing")
    prompt = prompt_from(values, checked_prompt(stated, "prompt"), origin.name)
    listed = _json_list(values.get("responses"))
    if listed is None or len(listed) < 2:
        raise FieldProblem("responses", "expected a list of at least two responses")
    texts = [_ranked_text(item, f"responses[{n}]") for n, item in enumerate(listed)]
    if len(set(texts)) != len(texts):
        first, second = _same(texts)
        raise FieldProblem("responses", f"responses {first} and {second} are the same text")
    responses = tuple(
        _response(prompt, text, said.get("model"), origin, said.get("sampling"))
        for text, item in zip(texts, listed, strict=True)
        for said in [item if isinstance(item, Mapping) else {}]
    )
    groups = _tie_groups(values, len(responses))
    ranking = tuple(tuple(responses[index].id for index in group) for group in groups)
    scores = _scores(values, responses)
    return Judged(prompt, responses, _judgement(values, origin, responses, ranking, scores))


def conversation_of_pair(values: Mapping[str, Any], field: str) -> tuple[tuple[Message, ...], str]:
    """The prompt and the answer in `chosen` or `rejected`, with the row's stated prompt where there is one.

    The field may hold the answer alone, the whole conversation (UltraFeedback, HH), or what goes on
    after the stated prompt.
    """
    stated = stated_prompt(values)
    *before, answer = answer_turns(values[field], field)
    context = tuple(before)
    if not context:
        if stated is None:
            raise FieldProblem(
                "prompt", f"it is missing, and {field} holds an answer without its conversation"
            )
        return checked_prompt(stated, "prompt"), answer.content
    if stated is not None and context[0].role == "assistant":
        context = (*stated, *context)
    elif stated is not None and stated not in (context[: len(stated)], context[-len(stated) :]):
        raise FieldProblem("prompt", f"it differs from the conversation in {field}")
    return checked_prompt(context, field), answer.content


def _judgement(
    values: Mapping[str, Any],
    origin: Origin,
    shown: Sequence[Response],
    ranking: tuple[tuple[str, ...], ...],
    scores: Mapping[str, Any],
) -> Judgement:
    """A rater named in the row goes before the source; one named in `judge` is a model (as in AlpacaEval)."""
    person, model = values.get("rater"), values.get("judge")
    named = next((str(who) for who in (person, model) if who not in (None, "")), origin.name)
    told = values.get("rater_kind")
    if told is not None and told not in ("person", "ai", "debate"):
        raise FieldProblem("rater_kind", f"it is {told!r}: known are person, ai and debate")
    kind: RaterKind = told or origin.kind or ("ai" if not person and model else "person")
    seconds = _number(values.get("seconds"))
    return Judgement(
        prompt_id=shown[0].prompt_id,
        shown=tuple(r.id for r in shown),
        ranking=ranking,
        rater=named,
        kind=kind,
        guideline=_text_or_nothing(values.get("guideline")),
        reason=_text_or_nothing(values.get("reason")),
        scores=scores,
        seconds=seconds,
        split=split_of_row(values),
    )


def _tie_groups(values: Mapping[str, Any], count: int) -> list[list[int]]:
    field = "ranking" if "ranking" in values else "ranks"
    listed = _json_list(values.get(field))
    if listed is None:
        raise FieldProblem(field, "it is missing: expected tie groups of indices, best first, or ranks")
    if any(isinstance(item, list) for item in listed):
        groups = _checked_groups(listed, field, count)
    else:
        groups = _groups_of_ranks(listed, field, count)
    if sum(map(len, groups)) < 2:
        raise FieldProblem(field, "it ranks fewer than two responses")
    return groups


def _checked_groups(listed: Sequence[Any], field: str, count: int) -> list[list[int]]:
    seen: set[int] = set()
    for group in listed:
        if not isinstance(group, list) or not group:
            raise FieldProblem(field, "every tie group must be a list of at least one response index")
        for index in group:
            if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
                raise FieldProblem(
                    field, f"it names response {index!r}, but there are {count}, counted from 0"
                )
            if index in seen:
                raise FieldProblem(field, f"it names response {index} twice")
            seen.add(index)
    return [list(group) for group in listed]


def _groups_of_ranks(ranks: Sequence[Any], field: str, count: int) -> list[list[int]]:
    if len(ranks) != count:
        raise FieldProblem(field, f"it holds {len(ranks)} ranks for {count} responses")
    by_rank: dict[float, list[int]] = {}
    for index, rank in enumerate(ranks):
        if rank is None:
            continue
        if not _is_number(rank):
            raise FieldProblem(field, f"the rank of response {index} is {rank!r}, not a number")
        by_rank.setdefault(float(rank), []).append(index)
    return [by_rank[rank] for rank in sorted(by_rank)]


def _ranked_text(item: Any, field: str) -> str:
    if isinstance(item, Mapping) and "role" not in item:
        item = item.get("text", item.get("content"))
    if isinstance(item, str):
        return text_of(item, field)
    return answer_turns(item, field)[-1].content


def _response(prompt: Prompt, text: str, policy: Any, origin: Origin, sampling: Any = None) -> Response:
    named = policy if isinstance(policy, str) and policy else origin.name
    return Response(prompt.id, text, named, _without_nothing(sampling))


def _scores(values: Mapping[str, Any], responses: Sequence[Response]) -> dict[str, Any]:
    given = _json_list(values.get("scores"))
    if given is None:
        return {}
    if len(given) != len(responses):
        raise FieldProblem("scores", f"it holds {len(given)} entries for {len(responses)} responses")
    found = {r.id: _without_nothing(one) for r, one in zip(responses, given, strict=True)}
    return {who: one for who, one in found.items() if one}


def _without_nothing(value: Any) -> dict[str, Any]:
    """An object without its nulls, with which Parquet fills up what another row has; empty for anything else."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else {}


def _same(texts: Sequence[str]) -> tuple[int, int]:
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text in first:
            return first[text], index
        first[text] = index
    raise ValueError("all texts differ")


def _json_list(value: Any) -> list[Any] | None:
    """A list, or a list written as JSON text (CSV)."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return None
    return value if isinstance(value, list) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float | None:
    """A number, or one written as text (CSV)."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if _is_number(value) else None


def _text_or_nothing(value: Any) -> str:
    return value if isinstance(value, str) else ""
