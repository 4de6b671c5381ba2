"""Argilla's ranking questions: records with several raters' rankings, in any of its four shapes, both ways.

From its documentation: the options of a `RankingQuestion` name the fields that hold the responses
(`response-1`, ...; `reply-1` is taken to mean the field that ends in 1 too). In 1.x an answer is a list of
`{"value", "rank"}`, equal ranks tied, rank null unranked. In 2.x it is exported as a list of names, best
first, which knows neither; its client takes ranks all the same, so they are written. A `TextQuestion` named
reason (or comment, ...) is the reason. Suggestions come from models: no judgements.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tutelage.core.records import Judgement, Prompt, Response
from tutelage.data.argilla_shapes import RANKING, REASON, SHAPES, Said, Shape
from tutelage.data.conversations import FieldProblem
from tutelage.data.judged import Origin
from tutelage.data.tasks import (
    CARRIED,
    REASONS,
    Answer,
    Known,
    Task,
    carried_in,
    carry,
    described,
    prompt_fields,
    task_judgement,
    task_prompt,
    task_responses,
    unranked,
)

_ENDING = re.compile(r"(.*?)(\d+|(?<![A-Za-z])[A-Za-z])")
SUBMITTED, DRAFT, DISCARDED = "submitted", "draft", "discarded"


@dataclass(frozen=True)
class Argilla:
    """One of the shapes as a `TaskFormat`."""

    shape: Shape
    tool: Literal["argilla"] = "argilla"

    @property
    def name(self) -> str:
        return self.shape.name

    def fits(self, row: Mapping[str, Any]) -> bool:
        return self.shape.fits(row)

    def own_name(self, row: Mapping[str, Any]) -> str:
        return self.shape.own_name(row)

    def read(self, row: Mapping[str, Any], origin: Origin, known: Known) -> Task:
        fields, beside, carried = self.shape.fields(row), self.shape.metadata(row), self._carried(row)
        options = response_fields(fields, self._options(row))
        rest = {name: value for name, value in fields.items() if name not in options.values()}
        prompt = task_prompt(rest, beside, carried, origin)
        texts = {option: (fields[field], "") for option, field in options.items()}
        task = Task(prompt, task_responses(prompt, texts, carried, self.tool, known), ())

        def judged(number: int, said: Said) -> Judgement | FieldProblem:
            try:
                answer = self._answer(row, said, carried)
                return task_judgement(answer, task, carried, origin, beside)
            except FieldProblem as problem:
                return FieldProblem(f"{said.question}[{number}]", problem.reason)

        return replace(task, answers=tuple(judged(n, said) for n, said in enumerate(self._rankings(row))))

    def blank(self, prompt: Prompt, responses: Mapping[str, Response]) -> dict[str, Any]:
        carried: dict[str, Any] = {"responses": {name: r.id for name, r in responses.items()}}
        fields = {**prompt_fields(prompt, carried), **{name: r.text for name, r in responses.items()}}
        row = self.shape.blank(prompt.id, fields)
        self.shape.note(row, {**described(prompt), CARRIED: json.dumps(carried, ensure_ascii=False)})
        return row

    def drop(self, row: dict[str, Any], places: Collection[int]) -> None:
        rankings = self._rankings(row)
        for said in [rankings[place] for place in places]:
            for question in (said.question, *(r.question for r in self._reasons(row, said.user))):
                self.shape.drop(row, question, said.user)

    def add(self, row: dict[str, Any], judgement: Judgement, names: Mapping[str, str]) -> None:
        """Raises `FieldProblem` if the rater has answered already: Argilla keeps one answer of each."""
        rankings, user = self._rankings(row), user_id(judgement.rater)
        question = rankings[0].question if rankings else RANKING
        if any(said.user == user and said.question == question for said in rankings):
            raise FieldProblem("", "Argilla keeps one ranking of a prompt by each rater")
        ranked = {i for group in judgement.ranking for i in group}
        status = SUBMITTED if ranked >= names.keys() else DRAFT
        self.shape.add(row, Said(question, user, _value(judgement, names), status))
        if judgement.reason:
            asked = next((said.question for said in self._reasons(row)), REASON)
            self.shape.add(row, Said(asked, user, judgement.reason, status))
        carried = self._carried(row)
        carry(carried, user, judgement, names)
        self.shape.note(row, {CARRIED: json.dumps(carried, ensure_ascii=False)})

    def _answer(self, row: Mapping[str, Any], said: Said, carried: Mapping[str, Any]) -> Answer:
        first, ours = self._rankings(row)[0].question, said.user in carried.get("judgements", {})
        if said.question != first:
            raise FieldProblem("", f"it answers a second ranking question: the first, {first}, is read")
        if said.status == DISCARDED:
            raise FieldProblem("", "its rater discarded it")
        if said.status == DRAFT and not ours:
            raise FieldProblem("", "it is a draft: its rater has not submitted it")
        reason = next((r.value for r in self._reasons(row, said.user) if isinstance(r.value, str)), "")
        return Answer(said.user or self.tool, _groups(said.value), said.user or "", reason)

    def _carried(self, row: Mapping[str, Any]) -> dict[str, Any]:
        said = self.shape.metadata(row).get(CARRIED)
        try:
            return carried_in(json.loads(said) if isinstance(said, str) else None)
        except json.JSONDecodeError:
            return {}

    def _rankings(self, row: Mapping[str, Any]) -> list[Said]:
        """The answers to ranking questions: those with ranks, or with options that are fields of the row."""
        answers, fields = self.shape.answers(row), self.shape.fields(row)
        asked = {
            said.question
            for said in answers
            if (options := _ranked(said.value))
            and (any(given for _, _, given in options) or any(_field(o, fields) for o, _, _ in options))
        }
        return [said for said in answers if said.question in asked]

    def _options(self, row: Mapping[str, Any]) -> list[str]:
        return [option for said in self._rankings(row) for option, _, _ in _ranked(said.value) or []]

    def _reasons(self, row: Mapping[str, Any], user: str | None = None) -> list[Said]:
        """Answers to the question for a reason, of one rater or of all."""
        answers = [said for said in self.shape.answers(row) if said.question.lower() in REASONS]
        return [said for said in answers if user is None or said.user == user]


ARGILLA = tuple(Argilla(shape) for shape in SHAPES)


def response_fields(fields: Mapping[str, Any], options: Iterable[str]) -> dict[str, str]:
    """The field of each response by its option in the ranking question, in the order of the fields.

    Fields that differ from a named one in their number (or letter) alone are responses too; where no option
    is named, the largest such family of fields.
    """
    named = {field: option for option in options if (field := _field(option, fields))}
    families: dict[str, list[str]] = {}
    for field in fields:
        if (parts := _ENDING.fullmatch(field)) is not None:
            families.setdefault(parts[1], []).append(field)
    if not named:
        largest = max(families.values(), key=len, default=[])
        return {field: field for field in largest} if len(largest) > 1 else {}
    for field, option in dict(named).items():
        stem, other = _ENDING.fullmatch(field), _ENDING.fullmatch(option)
        if stem is not None and other is not None:
            for sibling in families[stem[1]]:
                named.setdefault(sibling, other[1] + sibling.removeprefix(stem[1]))
    return {named[field]: field for field in fields if field in named}


def user_id(rater: str) -> str:
    """Argilla knows raters by UUID: a rater who has none gets one made from the name."""
    try:
        return str(uuid.UUID(rater))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, rater))


def _field(option: str, fields: Mapping[str, Any]) -> str | None:
    if option in fields:
        return option
    ending = _ENDING.fullmatch(option)
    alike = [f for f in fields if ending and (m := _ENDING.fullmatch(f)) is not None and m[2] == ending[2]]
    return alike[0] if len(alike) == 1 else None


def _ranked(value: Any) -> list[tuple[str, Any, bool]] | None:
    """Option, rank, and whether a rank is given, of each entry; None for what is no ranking."""
    if isinstance(value, Mapping) and isinstance(value.get("value"), list):
        ranks = value["rank"] if isinstance(value.get("rank"), list) else [None] * len(value["value"])
        value = [{"value": option, "rank": rank} for option, rank in zip(value["value"], ranks)]
    if not isinstance(value, list):
        return None
    found: list[tuple[str, Any, bool]] = []
    for item in value:
        option = item.get("value") if isinstance(item, Mapping) else item
        if not isinstance(option, str):
            return None
        given = isinstance(item, Mapping) and "rank" in item
        found.append((option, item["rank"] if given else None, given))
    return found


def _groups(value: Any) -> list[list[str]]:
    """Tie groups of options; entries without any rank are in order, best first."""
    entries = _ranked(value) or []
    if not any(given for _, _, given in entries):
        return [[option] for option, _, _ in entries]
    by_rank: dict[int, list[str]] = {}
    for option, rank, _ in entries:
        if rank is not None:
            if not isinstance(rank, int) or isinstance(rank, bool):
                raise FieldProblem("", f"the rank of '{option}' is {rank!r}, not a whole number")
            by_rank.setdefault(rank, []).append(option)
    return [by_rank[rank] for rank in sorted(by_rank)]


def _value(judgement: Judgement, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Options with their ranks, in every shape: of a list of names, Argilla's client loses the order."""
    groups = enumerate(judgement.ranking, start=1)
    ranked = [{"value": names[i], "rank": rank} for rank, group in groups for i in group]
    return [*ranked, *({"value": names[i], "rank": None} for i in unranked(judgement))]
